"""Linear layers, frozen with or without an adapter or trained themselves, seen as the few products that they are made
of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple, Protocol

import torch
from jaxtyping import Float, Float32, Num
from torch import Tensor, nn
from torch.nn import functional

from tunesmith.model.kernels.adapters import NAME, is_plain
from tunesmith.model.kernels.casts import cast_rows, product, transposed
from tunesmith.model.kernels.fp8 import Fp8Linear
from tunesmith.model.kernels.fused import Added, Inner, summed
from tunesmith.model.kernels.nf4 import write_whole
from tunesmith.model.quantise import is_nf4

Inputs = Float[Tensor, "token in"]
Outputs = Float[Tensor, "token out"]

ALIGNED = 8
"""Widths that are no multiple of it keep a product off the fast matrix kernels."""
MOST_RANK = 128
"""Up to which a tile of an adapter's product fits beside the tile that it is added to."""


KINDS: dict[type, Callable[[Sequence[Any]], Base | None]] = {}
"""Kinds of layers beside those that are known here, and the product that such layers of one input are together."""


class Pad(NamedTuple):
    """Zeros after a layer's inputs and outputs."""

    inputs: int = 0
    outputs: int = 0


NOTHING = Pad()


class Copy(NamedTuple):
    """A matrix that is copied into another, times the scale."""

    of: Float[Tensor, "row column"]
    place: Float[Tensor, "row column"]
    scale: float


class Base(Protocol):
    """One product with the weights of all layers."""

    def forward(self, rows: Inputs) -> Outputs:
        """rows W^T + bias."""

    def backward(self, gradient: Outputs) -> Inputs:
        """gradient W."""


def is_again() -> bool:
    """Whether a forward pass is done again within the backward pass, for what that needs and not for what comes out."""
    return torch._C._current_graph_task_id() != -1


class Made:
    """Weights in the form that products take, made for each: but what a forward pass makes that is done again, the
    backward pass, which follows at once, takes over."""

    def __init__(self, make: Callable[[torch.dtype], Float[Tensor, "out in"]]) -> None:
        self._make = make
        self._kept: Tensor | None = None

    def forward(self, dtype: torch.dtype) -> Float[Tensor, "out in"]:
        """For a forward pass."""
        whole = self._make(dtype)
        self._kept = whole if is_again() else None
        return whole

    def backward(self, dtype: torch.dtype) -> Float[Tensor, "out in"]:
        """For a backward pass."""
        whole, self._kept = self._kept, None
        return self._make(dtype) if whole is None else whole


@dataclass(frozen=True, eq=False)
class Plain:
    """In the precision of the products."""

    weight: Float[Tensor, "out in"]
    bias: Float[Tensor, "out"] | None

    def forward(self, rows: Inputs) -> Outputs:
        """See `Base`."""
        if self.bias is None:
            return torch.mm(rows, self.weight.T)
        return torch.addmm(self.bias, rows, self.weight.T)

    def backward(self, gradient: Outputs) -> Inputs:
        """See `Base`."""
        return torch.mm(gradient, self.weight)


@dataclass(frozen=True, eq=False)
class Nf4:
    """In 4 bits, made whole for each product."""

    layers: Sequence[Any]
    bias: Float[Tensor, "out"] | None

    def forward(self, rows: Inputs) -> Outputs:
        """See `Base`."""
        return Plain(self._made.forward(rows.dtype), self.bias).forward(rows)

    def backward(self, gradient: Outputs) -> Inputs:
        """See `Base`."""
        return Plain(self._made.backward(gradient.dtype), None).backward(gradient)

    @cached_property
    def _made(self) -> Made:
        return Made(self._weight)

    def _weight(self, dtype: torch.dtype) -> Float[Tensor, "out in"]:
        heights = [layer.out_features for layer in self.layers]
        first = self.layers[0]
        whole = first.weight.data.new_empty(sum(heights), first.in_features, dtype=dtype)
        for layer, place in zip(self.layers, whole.split(heights), strict=True):
            write_whole(layer.weight, place)
        return whole  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class Fp8:
    """In 8 bits, multiplied in 8 bits."""

    weight: Num[Tensor, "out in"]
    scales: Float32[Tensor, "out"]
    bias: Float[Tensor, "out"] | None

    def forward(self, rows: Inputs) -> Outputs:
        """See `Base`."""
        return product(cast_rows(rows), self.weight, self.scales, self.bias, Fp8Linear.fast)

    def backward(self, gradient: Outputs) -> Inputs:
        """See `Base`."""
        cast = cast_rows(gradient, Fp8Linear.gradients, self.scales)
        return product(cast, transposed(self.weight), self._ones, fast=Fp8Linear.fast)

    @cached_property
    def _ones(self) -> Float32[Tensor, "in"]:
        return torch.ones(self.weight.shape[1], device=self.weight.device)


@dataclass(frozen=True, eq=False)
class Trained:
    """In fp32, and trained: copied into the precision of the products for each of them."""

    layers: Sequence[Any]
    pad: Pad

    def forward(self, rows: Inputs) -> Outputs:
        """See `Base`."""
        weight = self._made.forward(rows.dtype)
        biases = [layer.bias for layer in self.layers]
        if biases[0] is None:
            return Plain(weight, None).forward(rows)
        whole = weight.new_zeros(len(weight))
        torch._foreach_copy_([whole[place] for place in self._places()], biases)
        return Plain(weight, whole).forward(rows)

    def backward(self, gradient: Outputs) -> Inputs:
        """See `Base`."""
        return Plain(self._made.backward(gradient.dtype), None).backward(gradient)

    @cached_property
    def _made(self) -> Made:
        return Made(self._weight)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Each layer's weight and, if it has one, bias."""
        return [
            weight for layer in self.layers for weight in (layer.weight, layer.bias) if weight is not None
        ]

    def of_parameters(self, gradient: Outputs, rows: Inputs) -> list[Tensor]:
        """Gradients of `parameters`, in fp32."""
        of_weights = wide_product(gradient, rows)
        found = []
        for layer, place in zip(self.layers, self._places(), strict=True):
            found.append(of_weights[place, : layer.in_features])
            if layer.bias is not None:
                found.append(gradient[:, place].sum(0, dtype=torch.float32))
        return found

    def _weight(self, dtype: torch.dtype) -> Float[Tensor, "out in"]:
        """Those of all layers, one below the other."""
        first = self.layers[0]
        heights = sum(layer.out_features + self.pad.outputs for layer in self.layers)
        make = first.weight.new_empty if self.pad == NOTHING else first.weight.new_zeros
        whole = make(heights, first.in_features + self.pad.inputs, dtype=dtype)
        into = [whole[place, : first.in_features] for place in self._places()]
        torch._foreach_copy_(into, [layer.weight for layer in self.layers])
        return whole  # type: ignore[no-any-return]

    def _places(self) -> Iterator[slice]:
        """Where each layer's outputs stand."""
        start = 0
        for layer in self.layers:
            yield slice(start, start + layer.out_features)
            start += layer.out_features + self.pad.outputs


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

    base: Base
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

    def product(self, rows: Inputs, inner: Inner | None, beside: Tensor | None = None) -> Outputs:
        """All outputs side by side, adapters and all, plus what goes past."""
        return summed(self.base.forward(rows), self.added(inner), beside)

    def to_inner(self, gradient: Outputs) -> Inner | None:
        """Gradient of `inner`, from that of the outputs."""
        return None if self.ups is None else gradient @ self.ups

    def to_input(self, gradient: Outputs, of_inner: Inner | None) -> Inputs:
        """Gradient of the input, from those of the outputs and of `inner`."""
        of_rows = self.base.backward(gradient)
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


def wide_product(left: Float[Tensor, "token a"], right: Float[Tensor, "token b"]) -> Float[Tensor, "a b"]:
    """left^T right, summed over tokens and left in fp32."""
    if left.is_cuda and left.dtype != torch.float32:
        return torch.mm(left.T, right, out_dtype=torch.float32)
    return (left.T @ right).float()


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
        from tunesmith.model.kernels import fused_triton

        where = [copy.of.data_ptr() for copy in self._all]
        if self._table is None or self._table[0] != where:
            self._table = where, fused_triton.table(self._all)
        fused_triton.copy(self._all, self._table[1])


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
    base = _trained(layers, pad) if is_trained else _frozen(bases, compute, pad)
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


def _trained(layers: Sequence[Any], pad: Pad) -> Trained | None:
    """The product that layers are together whose weights are all trained; None if some are not, or have adapters."""
    weights = [weight for layer in layers for weight in layer.parameters()]
    are_plain = all(type(layer) is nn.Linear for layer in layers)
    are_alike = len({layer.bias is None for layer in layers}) == 1 if are_plain else False
    if not are_alike or not all(one.requires_grad and one.dtype == torch.float32 for one in weights):
        return None
    return Trained(layers, pad)


def _frozen(bases: Sequence[Any], compute: torch.dtype, pad: Pad) -> Base | None:
    """The product that the layers' own weights are together; None if they are of a kind that is not known or of
    several."""
    kinds = {type(base) for base in bases}
    if len(kinds) > 1:
        return None
    (kind,) = kinds
    if pad == NOTHING and kind in KINDS:
        return KINDS[kind](bases)
    if pad == NOTHING and all(is_nf4(base) for base in bases):
        return Nf4(bases, _bias(bases, pad))
    if pad == NOTHING and kind is Fp8Linear and all(_is_whole(base) for base in bases):
        weights, scales = (
            one_below_the_other(parts)
            for parts in ([base.weight for base in bases], [base.scales for base in bases])
        )
        bias = _bias(bases, pad)
        return Fp8(weights, scales, None if bias is None else bias.bfloat16())
    if kind is not nn.Linear or any(base.weight.dtype != compute for base in bases):
        return None
    if pad == NOTHING:
        return Plain(one_below_the_other([base.weight for base in bases]), _bias(bases, pad))
    weight = torch.cat([functional.pad(base.weight, (0, pad.inputs, 0, pad.outputs)) for base in bases])
    return Plain(weight, _bias(bases, pad))


def _is_whole(layer: Fp8Linear) -> bool:
    """Whether its products are in 8 bits, and its sizes need no zeros for that."""
    return layer.in_eight_bits and layer.weight.shape == (layer.out_features, layer.in_features)


def one_below_the_other(parts: Sequence[Tensor]) -> Tensor:
    """The matrices (or vectors) as one, of which each is a view from now on: their numbers exist once."""
    if len(parts) == 1:
        return parts[0].data
    first, sizes = parts[0], [len(part) for part in parts]
    ends = [first.storage_offset() + rows * first.stride(0) for rows in accumulate(sizes, initial=0)]
    in_one = len({part.untyped_storage()._cdata for part in parts}) == 1
    if in_one and [part.storage_offset() for part in parts] == ends[:-1]:
        return first.data.as_strided((sum(sizes), *first.shape[1:]), first.stride())
    # Not everything can be done with numbers of 8 bits, but with bytes.
    kind = torch.uint8 if first.element_size() == 1 else first.dtype
    whole = torch.cat([part.data.view(kind) for part in parts]).view(first.dtype)
    for part, place in zip(parts, whole.split(sizes), strict=True):
        part.data = place
    return whole


def _bias(bases: Sequence[Any], pad: Pad) -> Float[Tensor, "out"] | None:
    """Of all layers, zeros where one has none; None if none has one."""
    if all(base.bias is None for base in bases):
        return None
    some = next(base.bias for base in bases if base.bias is not None)
    each = [some.new_zeros(base.out_features) if base.bias is None else base.bias.data for base in bases]
    return torch.cat([functional.pad(one, (0, pad.outputs)) for one in each])
