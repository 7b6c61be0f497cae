"""Memory tracker: bytes of live tensors while fake tensors pass through a model, and the FLOP of matrix products."""

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
"""PyTorch's allocator on a GPU rounds every size up to a multiple of it."""

_PRODUCTS: dict[Any, int] = {
    torch.ops.aten.mm.default: 0,
    torch.ops.aten.bmm.default: 0,
    torch.ops.aten.addmm.default: 1,
    torch.ops.aten.addmm_.default: 1,
    torch.ops.aten.baddbmm.default: 1,
}
"""Matrix products, each with the argument whose columns are summed over."""


@dataclass(frozen=True)
class LiveBytes:
    """Bytes of live tensors at one moment."""

    bytes: int
    gradients: int
    """Those of weights' gradients among them."""


class MemoryTracker(TorchDispatchMode):
    """Within it, every storage that an operation allocates counts from then until nothing refers to it.

    What an operation allocates and frees again before it returns is not seen.
    """

    def __init__(self, existing: Iterable[Tensor]) -> None:
        """`existing` tensors count from the start."""
        super().__init__()
        self._sizes: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._bytes = self._gradients = 0
        self.peak = LiveBytes(0, 0)
        self.flop: int = 0
        """FLOP of all matrix products."""
        for tensor in existing:
            self._count(tensor)

    @property
    def now(self) -> LiveBytes:
        """Live bytes at this moment."""
        return LiveBytes(self._bytes, self._gradients)

    def reset_peak(self) -> None:
        """Set the peak to what is live now."""
        self.peak = self.now

    def track_gradients(self, weights: Iterable[Tensor]) -> None:
        """Count gradients of these weights separately from now on."""
        for weight in weights:
            weight.register_post_accumulate_grad_hook(self._gradient_hook())

    def _gradient_hook(self) -> Callable[[Tensor], None]:
        """A hook that counts a weight's gradient when it arrives for the first time."""
        has_gradient = False

        def count(weight: Tensor) -> None:
            nonlocal has_gradient
            if not has_gradient and weight.grad is not None:
                self._gradients += rounded(weight.grad.nbytes)
                has_gradient = True

        return count

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._sizes:
            return
        size = rounded(storage.nbytes())
        self._sizes[storage] = size
        self._bytes += size
        weakref.finalize(storage, self._free, size)
        if self._bytes > self.peak.bytes:
            self.peak = self.now

    def _free(self, size: int) -> None:
        self._bytes -= size

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operation and count its results."""
        results = operation(*args, **(kwargs or {}))
        if operation in _PRODUCTS:
            self.flop += 2 * results.numel() * args[_PRODUCTS[operation]].shape[-1]
        for leaf in tree_leaves(results):
            if isinstance(leaf, torch.Tensor):
                self._count(leaf)
        return results


def rounded(size: int) -> int:
    """The size that the allocator reserves for an allocation of `size` bytes."""
    return -(-size // _BLOCK) * _BLOCK
