"""Products with the weights of linear layers of one input, seen as one: frozen in 16, 8 or 4 bits, or trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import torch
from jaxtyping import Float, Float32, Num
from torch import Tensor, nn
from torch.nn import functional

from tunesmith.precision.fp8 import Fp8Linear
from tunesmith.precision.fp8_cast import cast_rows, product, transposed
from tunesmith.precision.nf4 import in_eight_bits, is_in_eight_bits, write_whole
from tunesmith.precision.quantize import is_nf4
from tunesmith.precision.stochastic_rounding import round_into

Inputs = Float[Tensor, "token in"]
Outputs = Float[Tensor, "token out"]

ALIGNMENT = 8
"""Widths that are no multiple of it keep a product off the fast matrix kernels."""
MAX_CACHED = 2**25
"""Most weights that are kept from a forward pass that is done again."""
BACKENDS: dict[type, Callable[[Sequence[Any], Padding], MatmulBackend | None]] = {}
"""Kinds of layers beside those that are known here, and the product that such layers of one input are together."""


class Padding(NamedTuple):
    """Zeros after a layer's inputs and outputs."""

    inputs: int = 0
    outputs: int = 0


NO_PADDING = Padding()


class MatmulBackend(Protocol):
    """One product with the weights of all layers."""

    def forward(self, rows: Inputs) -> Outputs:
        """rows W^T + bias."""

    def backward(self, gradient: Outputs) -> Inputs:
        """gradient W."""


def in_recompute() -> bool:
    """Whether a forward pass is done again within the backward pass, for what that needs and not for what comes out."""
    return torch._C._current_graph_task_id() != -1


Form = TypeVar("Form")


class DequantCache(Generic[Form]):
    """Weights in the form that products take, made for each: but what a forward pass makes that is done again, the
    backward pass, which follows at once, takes over. Large ones are made once more: they would lie beside the widest
    activations of the layer."""

    def __init__(self, make: Callable[[torch.dtype], Form], size: int) -> None:
        """`size` is the number of weights."""
        self._make, self._is_small = make, size <= MAX_CACHED
        self._kept: Form | None = None

    def forward(self, dtype: torch.dtype) -> Form:
        """For a forward pass."""
        whole = self._make(dtype)
        self._kept = whole if self._is_small and in_recompute() else None
        return whole

    def backward(self, dtype: torch.dtype) -> Form:
        """For a backward pass."""
        whole, self._kept = self._kept, None
        return self._make(dtype) if whole is None else whole


@dataclass(frozen=True, eq=False)
class DenseMatmul:
    """In the precision of the products."""

    weight: Float[Tensor, "out in"]
    bias: Float[Tensor, " out"] | None

    def forward(self, rows: Inputs) -> Outputs:
        """See `MatmulBackend`."""
        if self.bias is None:
            return torch.mm(rows, self.weight.T)
        return torch.addmm(self.bias, rows, self.weight.T)

    def backward(self, gradient: Outputs) -> Inputs:
        """See `MatmulBackend`."""
        return torch.mm(gradient, self.weight)


@dataclass(frozen=True, eq=False)
class Nf4Matmul:
    """In 4 bits, made whole for each product."""

    layers: Sequence[Any]
    bias: Float[Tensor, " out"] | None
    padding: Padding

    def forward(self, rows: Inputs) -> Outputs:
        """See `MatmulBackend`."""
        return DenseMatmul(self._made.forward(rows.dtype), self.bias).forward(rows)

    def backward(self, gradient: Outputs) -> Inputs:
        """See `MatmulBackend`."""
        return DenseMatmul(self._made.backward(gradient.dtype), None).backward(gradient)

    @cached_property
    def _made(self) -> DequantCache[Tensor]:
        return DequantCache(self._weight, _num_weights(self.layers))

    def _weight(self, dtype: torch.dtype) -> Float[Tensor, "out in"]:
        whole, places = _room(self.layers, self.padding, dtype)
        for layer, place in zip(self.layers, places, strict=True):
            write_whole(layer.weight, place)
        return whole


@dataclass(frozen=True, eq=False)
class Fp8Matmul:
    """In 8 bits, multiplied in 8 bits."""

    weight: Num[Tensor, "out in"]
    scales: Float32[Tensor, " out"]
    ones: Float32[Tensor, "in"]
    bias: Float[Tensor, " out"] | None

    def forward(self, rows: Inputs) -> Outputs:
        """See `MatmulBackend`."""
        return product(cast_rows(rows), self.weight, self.scales, self.bias, Fp8Linear.fast)

    def backward(self, gradient: Outputs) -> Inputs:
        """See `MatmulBackend`."""
        cast = cast_rows(gradient, Fp8Linear.gradients, self.scales)
        return product(cast, transposed(self.weight), self.ones, fast=Fp8Linear.fast)


@dataclass(frozen=True, eq=False)
class Nf4Fp8Matmul:
    """In 4 bits, brought to 8 bits for each product and multiplied so."""

    layers: Sequence[Any]
    bias: Float[Tensor, " out"] | None

    def forward(self, rows: Inputs) -> Outputs:
        """See `MatmulBackend`."""
        return self._made.forward(rows.dtype).forward(rows)

    def backward(self, gradient: Outputs) -> Inputs:
        """See `MatmulBackend`."""
        return self._made.backward(gradient.dtype).backward(gradient)

    @cached_property
    def _made(self) -> DequantCache[Fp8Matmul]:
        first = self.layers[0]
        ones = torch.ones(first.in_features, device=first.weight.device)
        return DequantCache(
            lambda _: Fp8Matmul(*in_eight_bits(self.layers), ones, self.bias), _num_weights(self.layers)
        )


@dataclass(frozen=True, eq=False)
class TrainedMatmul:
    """In fp32, and trained: products are with a copy in their precision, made for a forward pass and its backward
    pass."""

    layers: Sequence[Any]
    padding: Padding

    def forward(self, rows: Inputs, weight: Float[Tensor, "out in"]) -> Outputs:
        """rows W^T + bias, by the copy of W."""
        biases = [layer.bias for layer in self.layers]
        if biases[0] is None:
            return DenseMatmul(weight, None).forward(rows)
        whole = weight.new_zeros(1, len(weight))
        for bias, place in zip(biases, self._places(), strict=True):
            round_into(bias[None], whole[:, place])
        return DenseMatmul(weight, whole[0]).forward(rows)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Each layer's weight and, if it has one, bias."""
        return [
            weight for layer in self.layers for weight in (layer.weight, layer.bias) if weight is not None
        ]

    def param_grads(self, gradient: Outputs, rows: Inputs) -> list[Tensor]:
        """Gradients of `parameters`, in fp32."""
        of_weights = weight_grad(gradient, rows)
        found = []
        for layer, place in zip(self.layers, self._places(), strict=True):
            found.append(of_weights[place, : layer.in_features])
            if layer.bias is not None:
                found.append(gradient[:, place].sum(0, dtype=torch.float32))
        return found

    def cast_weight(self, dtype: torch.dtype) -> Float[Tensor, "out in"]:
        """The weights of all layers as they are now, one below the other."""
        whole, places = _room(self.layers, self.padding, dtype)
        for layer, place in zip(self.layers, places, strict=True):
            round_into(layer.weight, place)
        return whole

    def _places(self) -> Iterator[slice]:
        """Where each layer's outputs stand."""
        start = 0
        for layer in self.layers:
            yield slice(start, start + layer.out_features)
            start += layer.out_features + self.padding.outputs


def weight_grad(left: Float[Tensor, "token a"], right: Float[Tensor, "token b"]) -> Float[Tensor, "a b"]:
    """left^T right, summed over tokens and left in fp32."""
    if left.is_cuda and left.dtype != torch.float32:
        return torch.mm(left.T, right, out_dtype=torch.float32)
    return (left.T @ right).float()


def trained_matmul(layers: Sequence[Any], padding: Padding) -> TrainedMatmul | None:
    """The product that layers are together whose weights are all trained; None if some are not, or have adapters."""
    weights = [weight for layer in layers for weight in layer.parameters()]
    are_plain = all(type(layer) is nn.Linear for layer in layers)
    are_alike = len({layer.bias is None for layer in layers}) == 1 if are_plain else False
    if not are_alike or not all(one.requires_grad and one.dtype == torch.float32 for one in weights):
        return None
    return TrainedMatmul(layers, padding)


def frozen_matmul(bases: Sequence[Any], compute: torch.dtype, padding: Padding) -> MatmulBackend | None:
    """The product that the layers' own weights are together; None if they are of a kind that is not known or of
    several."""
    kinds = {type(base) for base in bases}
    if len(kinds) > 1:
        return None
    (kind,) = kinds
    if kind in BACKENDS:
        return BACKENDS[kind](bases, padding)
    if all(is_nf4(base) for base in bases):
        bias = _bias(bases, padding)
        if padding == NO_PADDING and all(is_in_eight_bits(base) for base in bases):
            return Nf4Fp8Matmul(bases, None if bias is None else bias.bfloat16())
        return Nf4Matmul(bases, bias, padding)
    if padding == NO_PADDING and kind is Fp8Linear and all(_is_whole(base) for base in bases):
        weights, scales = (
            stacked(parts) for parts in ([base.weight for base in bases], [base.scales for base in bases])
        )
        bias = _bias(bases, padding)
        return Fp8Matmul(weights, scales, bases[0].ones, None if bias is None else bias.bfloat16())
    if kind is not nn.Linear or any(base.weight.dtype != compute for base in bases):
        return None
    whole = stacked([base.weight for base in bases]) if padding == NO_PADDING else _padded(bases, padding)
    return DenseMatmul(whole, _bias(bases, padding))


def _num_weights(layers: Sequence[Any]) -> int:
    return sum(layer.out_features * layer.in_features for layer in layers)


def _is_whole(layer: Fp8Linear) -> bool:
    """Whether its products are in 8 bits, and its sizes need no zeros for that."""
    return layer.in_eight_bits and layer.weight.shape == (layer.out_features, layer.in_features)


def stacked(parts: Sequence[Tensor]) -> Tensor:
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


def _padded(layers: Sequence[Any], padding: Padding) -> Float[Tensor, "out in"]:
    """The layers' weights one below the other, each with its zeros, and views of that from now on."""
    whole, places = _room(layers, padding, layers[0].weight.dtype)
    for layer, place in zip(layers, places, strict=True):
        layer.weight.data = place.copy_(layer.weight.data)
    return whole


def _room(
    layers: Sequence[Any], padding: Padding, dtype: torch.dtype
) -> tuple[Float[Tensor, "out in"], list[Float[Tensor, "out_of_one in_of_one"]]]:
    """A matrix for the weights of all layers, one below the other, with zeros behind them; and the place of each."""
    first, heights = layers[0], [layer.out_features + padding.outputs for layer in layers]
    make = torch.empty if padding == NO_PADDING else torch.zeros
    whole = make(sum(heights), first.in_features + padding.inputs, dtype=dtype, device=first.weight.device)
    each = zip(layers, whole.split(heights), strict=True)
    return whole, [place[: layer.out_features, : layer.in_features] for layer, place in each]


def _bias(bases: Sequence[Any], padding: Padding) -> Float[Tensor, " out"] | None:
    """Of all layers, zeros where one has none; None if none has one."""
    if all(base.bias is None for base in bases):
        return None
    some = next(base.bias for base in bases if base.bias is not None)
    each = [some.new_zeros(base.out_features) if base.bias is None else base.bias.data for base in bases]
    return torch.cat([functional.pad(one, (0, padding.outputs)) for one in each])
