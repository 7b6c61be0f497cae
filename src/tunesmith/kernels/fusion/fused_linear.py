"""Linear layers, frozen with or without an adapter or trained themselves, seen as the few products that they are made
of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tunesmith.kernels.fusion.lora_linear import NAME, is_plain
from tunesmith.kernels.ops.pointwise import Added, Inner, summed
from tunesmith.precision.matmul_backends import (
    NOTHING,
    Base,
    Inputs,
    Outputs,
    Pad,
    Plain,
    Trained,
    frozen,
    trained,
    wide_product,
)

Copied = Float[Tensor, "out in"] | None
"""Of trained weights in the precision of the products; of frozen ones there is none."""
MOST_RANK = 128
"""Up to which a tile of an adapter's product fits beside the tile that it is added to."""


class Copy(NamedTuple):
    """A matrix that is copied into another, times the scale."""

    of: Float[Tensor, "row column"]
    place: Float[Tensor, "row column"]
    scale: float


@dataclass(frozen=True, eq=False)
class Adapter:
    """Both matrices of one layer's adapter."""

    down: nn.Parameter
    up: nn.Parameter
    scale: float

    @property
    def rank(self) -> int:
        """Rows of `down`."""
        return self.down.shape[0]


@dataclass(frozen=True, eq=False)
class Fan:
    """Linear layers of one input, seen as one: their weights stand one below the other, what their adapters add stands
    in blocks along a diagonal. Sizes may be padded with zeros to what the matrix kernels like."""

    base: Base | Trained
    inputs: int
    widths: tuple[int, ...]
    """Outputs of each layer."""
    adapters: tuple[Adapter | None, ...]
    """Of each layer."""
    downs: Float[Tensor, "rank in"] | None
    """Copies of all `down` in the precision of the products, one below the other; None without adapters."""
    ups: Float[Tensor, "out rank"] | None
    """Copies of all `up`, times their scales."""

    def apart(self) -> Fan:
        """The same on parameters of its own, which share their numbers with these: what holds on to the gradients of
        these does not know of them."""
        adapters = (
            one and replace(one, down=nn.Parameter(one.down.data), up=nn.Parameter(one.up.data))
            for one in self.adapters
        )
        return replace(self, adapters=tuple(adapters))

    @property
    def is_trained(self) -> bool:
        """Whether the layers' own weights are."""
        return isinstance(self.base, Trained)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What is trained: the layers' own weights, or their adapters, `down` before `up`."""
        if isinstance(self.base, Trained):
            return self.base.parameters
        return [weight for one in self.adapters if one for weight in (one.down, one.up)]

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """Outputs and rank of each layer."""
        ranks = (one.rank if one else 0 for one in self.adapters)
        return tuple(zip(self.widths, ranks, strict=True))

    def inner(self, rows: Inputs) -> Inner | None:
        """rows A^T of all adapters, side by side."""
        return None if self.downs is None else rows @ self.downs.T

    def added(self, inner: Inner | None) -> Added | None:
        """What all adapters add to the outputs."""
        if inner is None or self.ups is None:
            return None
        return Added(inner, self.ups, self.blocks)

    def added_to_each(self, inner: Inner | None) -> list[Added | None]:
        """What each layer's adapter adds to its outputs."""
        if inner is None or self.ups is None:
            return [None] * len(self.widths)
        return [
            Added(inner[:, columns], self.ups[rows, columns]) if columns.stop > columns.start else None
            for rows, columns in self._places()
        ]

    def added_to_input(self, of_inner: Inner | None) -> Added | None:
        """What the adapters add to the input's gradient."""
        return None if of_inner is None or self.downs is None else Added(of_inner, self.downs.T)

    def copy(self, dtype: torch.dtype) -> Copied:
        """Of weights that are trained, for a forward pass and its backward pass."""
        return self.base.copy(dtype) if isinstance(self.base, Trained) else None

    def forward(self, rows: Inputs, copy: Copied) -> Outputs:
        """What the layers' own weights give, side by side."""
        if isinstance(self.base, Trained):
            assert copy is not None
            return self.base.forward(rows, copy)
        return self.base.forward(rows)

    def backward(self, gradient: Outputs, copy: Copied) -> Inputs:
        """Gradient of the input, but for the adapters' share."""
        if isinstance(self.base, Trained):
            assert copy is not None
            return Plain(copy, None).backward(gradient)
        return self.base.backward(gradient)

    def product(
        self, rows: Inputs, inner: Inner | None, copy: Copied, beside: Tensor | None = None
    ) -> Outputs:
        """All outputs side by side, adapters and all, plus what goes past."""
        return summed(self.forward(rows, copy), self.added(inner), beside)

    def to_inner(self, gradient: Outputs) -> Inner | None:
        """Gradient of `inner`, from that of the outputs."""
        return None if self.ups is None else gradient @ self.ups

    def to_input(self, gradient: Outputs, of_inner: Inner | None, copy: Copied) -> Inputs:
        """Gradient of the input, from those of the outputs and of `inner`."""
        of_rows = self.backward(gradient, copy)
        if of_inner is None or self.downs is None:
            return of_rows
        return of_rows.addmm_(of_inner, self.downs)

    def of_parameters(
        self,
        of_downs: Float[Tensor, "rank in"] | None,
        gradient: Outputs,
        inner: Inner | None,
        given: Callable[[], Inputs],
    ) -> list[Tensor]:
        """Gradients of `parameters`: those of all `down` are known; `given`, the input, is asked for only if the
        layers' own weights are trained."""
        if isinstance(self.base, Trained):
            return self.base.of_parameters(gradient, given())
        if of_downs is None or inner is None:
            return []
        found: list[Tensor] = []
        for adapter, (rows, columns) in zip(self.adapters, self._places(), strict=True):
            if adapter is None:
                continue
            of_up = wide_product(gradient[:, rows], inner[:, columns])
            if adapter.scale != 1.0:
                of_up.mul_(adapter.scale)
            found += [
                of_downs[columns, : adapter.down.shape[1]].to(adapter.down.dtype),
                of_up[: adapter.up.shape[0]].to(adapter.up.dtype),
            ]
        return found

    def _places(self) -> Iterator[tuple[slice, slice]]:
        """Where each layer's outputs and its rank stand."""
        output, rank = 0, 0
        for outputs, ranks in self.blocks:
            yield slice(output, output + outputs), slice(rank, rank + ranks)
            output, rank = output + outputs, rank + ranks


class Copies:
    """The adapters of several layers in the precision of the products. They are copied at every forward pass: nothing
    tells when an optimizer has moved the weights, and it is little beside the pass."""

    def __init__(self) -> None:
        self._all: list[Copy] = []
        self._table: tuple[list[int], tuple[Tensor, Tensor]] | None = None

    def of(self, weight: nn.Parameter, place: Tensor, scale: float = 1.0) -> None:
        """From the next refresh on `place`, which holds zeros, begins with the weight times the scale."""
        rows, columns = weight.shape
        self._all.append(Copy(weight, place[:rows, :columns], scale))

    @torch.no_grad()
    def refresh(self) -> None:
        """Copy the weights as they are now."""
        if not self._all:
            return
        if not self._all[0].of.is_cuda:
            for copy in self._all:
                torch.mul(copy.of, copy.scale, out=copy.place)
            return
        from tunesmith.kernels.ops import pointwise_triton

        where = [copy.of.data_ptr() for copy in self._all]
        if self._table is None or self._table[0] != where:
            self._table = where, pointwise_triton.table(self._all)
        pointwise_triton.copy(self._all, self._table[1])


def fan(layers: Sequence[nn.Module], copies: Copies, compute: torch.dtype, pad: Pad = NOTHING) -> Fan | None:
    """The layers, which have one input, as one, their sizes padded; None if their weights are of a kind that this does
    not know or of several, or if it cannot train their weights or adapters. Their own are trained all or not at all."""
    loras = [_lora(layer) for layer in layers]
    bases: list[Any] = [
        layer if lora is None else lora.get_base_layer() for layer, lora in zip(layers, loras, strict=True)
    ]
    if any(lora is not None and not _fits(lora) for lora in loras):
        return None
    is_trained = any(weight.requires_grad for one in bases for weight in one.parameters(recurse=False))
    base = trained(layers, pad) if is_trained else frozen(bases, compute, pad)
    if base is None:
        return None
    widths = tuple(one.out_features + pad.outputs for one in bases)
    bare = Fan(base, bases[0].in_features + pad.inputs, widths, (None,) * len(widths), None, None)
    return _with_adapters(bare, loras, copies, compute)


def _with_adapters(bare: Fan, loras: Sequence[Any], copies: Copies, compute: torch.dtype) -> Fan:
    adapters = tuple(
        lora and Adapter(lora.lora_A[NAME].weight, lora.lora_B[NAME].weight, lora.scaling[NAME])
        for lora in loras
    )
    there = [one for one in adapters if one is not None]
    if not there:
        return bare
    rank = sum(one.rank for one in there)
    downs = there[0].down.new_zeros(rank, bare.inputs, dtype=compute)
    ups = there[0].up.new_zeros(sum(bare.widths), rank, dtype=compute)
    whole = replace(bare, adapters=adapters, downs=downs, ups=ups)
    for adapter, (rows, columns) in zip(adapters, whole._places(), strict=True):
        if adapter is not None:
            copies.of(adapter.down, downs[columns])
            copies.of(adapter.up, ups[rows, columns], adapter.scale)
    return whole


def _lora(layer: Any) -> Any:
    """The layer if PEFT has wrapped it, else None."""
    from peft.tuners.lora import LoraLayer

    return layer if isinstance(layer, LoraLayer) else None


def _fits(lora: Any) -> bool:
    """Whether the adapter is one that a fan can have."""
    return (
        is_plain(lora)
        and not any(isinstance(drop, nn.Dropout) and drop.p for drop in lora.lora_dropout.values())
        and lora.lora_A[NAME].weight.shape[0] <= MOST_RANK
    )
