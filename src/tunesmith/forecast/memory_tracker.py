"""Bytes that are alive while tensors without data pass through a model, and the arithmetic that is done on the way."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_BLOCK = 512
"""PyTorch's allocator on a GPU gives memory in multiples of it."""


_PRODUCTS: dict[Any, int] = {
    torch.ops.aten.mm.default: 0,
    torch.ops.aten.bmm.default: 0,
    torch.ops.aten.addmm.default: 1,
    torch.ops.aten.addmm_.default: 1,
    torch.ops.aten.baddbmm.default: 1,
}
"""Operations that multiply matrices, and which argument's columns are added up."""


@dataclass(frozen=True)
class Moment:
    """What is alive at one moment."""

    bytes: int
    gradients: int
    """Bytes of gradients that weights have by then."""


class Alive(TorchDispatchMode):
    """Within it, every storage that an operation makes counts from then until nothing refers to it.

    What an operation takes for itself and gives back before it ends is not seen.
    """

    def __init__(self, there: Iterable[Tensor]) -> None:
        super().__init__()
        self._sizes: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._bytes = self._gradients = 0
        self.peak = Moment(0, 0)
        self.flop: int = 0
        """Arithmetic of all matrix products."""
        for tensor in there:
            self._count(tensor)

    @property
    def now(self) -> Moment:
        """What is alive."""
        return Moment(self._bytes, self._gradients)

    def forget_peak(self) -> None:
        """Begin the peak anew."""
        self.peak = self.now

    def watch_gradients(self, weights: Iterable[Tensor]) -> None:
        """Tell gradients of these weights apart from now on."""
        for weight in weights:
            weight.register_post_accumulate_grad_hook(self._first_gradient())

    def _first_gradient(self) -> Callable[[Tensor], None]:
        """What counts a weight's gradient when it comes for the first time."""
        came = False

        def count(weight: Tensor) -> None:
            nonlocal came
            if not came and weight.grad is not None:
                self._gradients += rounded(weight.grad.nbytes)
                came = True

        return count

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._sizes:
            return
        size = rounded(storage.nbytes())
        self._sizes[storage] = size
        self._bytes += size
        weakref.finalize(storage, self._gone, size)
        if self._bytes > self.peak.bytes:
            self.peak = self.now

    def _gone(self, size: int) -> None:
        self._bytes -= size

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """What the operation gives, counted."""
        given = operation(*args, **(kwargs or {}))
        if operation in _PRODUCTS:
            self.flop += 2 * given.numel() * args[_PRODUCTS[operation]].shape[-1]
        for leaf in tree_leaves(given):
            if isinstance(leaf, torch.Tensor):
                self._count(leaf)
        return given


def rounded(size: int) -> int:
    """Bytes that the allocator gives for so many."""
    return -(-size // _BLOCK) * _BLOCK
