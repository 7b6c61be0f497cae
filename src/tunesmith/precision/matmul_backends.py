"""Matmul backends: products of an input with the stacked weights of linear layers, for each form of weights.

    forward(x)            = x W^T + bias
    backward(grad_output) = grad_output W

W is the weights of one layer, or of several layers with the same input, stacked: `[W_q; W_k; W_v]`. A backend decides
how W is stored and in which precision it is multiplied; everything around the product (adapters, norms, residual) is
the same for all. Quantized weights have no gradient. Trained weights have one and are cast for each forward pass, so
`TrainedMatmul` has methods of its own.

Stacked weights exist once: the layers' own parameters become views of the stacked matrix.
"""

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

from tunesmith.precision.fp8_cast import cast_rows, fp8_matmul_scaled, transposed
from tunesmith.precision.fp8_linear import Fp8Linear
from tunesmith.precision.nf4_dequant import dequantize_into, to_fp8
from tunesmith.precision.stochastic_rounding import round_into

Inputs = Float[Tensor, "token in"]
Outputs = Float[Tensor, "token out"]

ALIGNMENT = 8
"""Matrices whose widths are no multiple of it are multiplied by slower kernels."""
MAX_CACHED = 2**25
"""Most weights that are kept from a recomputed forward pass for its backward pass."""


class Padding(NamedTuple):
    """Zeros behind the inputs and behind the outputs of each layer."""

    inputs: int = 0
    outputs: int = 0


NO_PADDING = Padding()


class MatmulBackend(Protocol):
    """The product with the stacked weights of frozen layers."""

    def forward(self, x: Inputs) -> Outputs:
        """x W^T + bias."""

    def backward(self, grad_output: Outputs) -> Inputs:
        """grad_output W."""


def in_recompute() -> bool:
    """Whether activation checkpointing is running a forward pass again, inside of a backward pass."""
    return torch._C._current_graph_task_id() != -1


Form = TypeVar("Form")


class DequantCache(Generic[Form]):
    """Dequantized weights, made anew for every product, with one exception.

    Under activation checkpointing a layer's forward pass is recomputed right before its backward pass. What it made is
    kept until then. Large weights are made again all the same, since they would lie in memory together with the widest
    activations of the layer.
    """

    def __init__(self, make: Callable[[torch.dtype], Form], num_weights: int) -> None:
        self._make, self._is_small = make, num_weights <= MAX_CACHED
        self._kept: Form | None = None

    def forward(self, dtype: torch.dtype) -> Form:
        """The weights for a forward pass."""
        weight = self._make(dtype)
        self._kept = weight if self._is_small and in_recompute() else None
        return weight

    def backward(self, dtype: torch.dtype) -> Form:
        """The weights for a backward pass."""
        weight, self._kept = self._kept, None
        return self._make(dtype) if weight is None else weight


@dataclass(frozen=True, eq=False)
class DenseMatmul:
    """Weights in the products' dtype."""

    weight: Float[Tensor, "out in"]
    bias: Float[Tensor, " out"] | None

    def forward(self, x: Inputs) -> Outputs:
        """One product with the weight's transpose."""
        if self.bias is None:
            return torch.mm(x, self.weight.T)
        return torch.addmm(self.bias, x, self.weight.T)

    def backward(self, grad_output: Outputs) -> Inputs:
        """One product with the weight."""
        return torch.mm(grad_output, self.weight)


@dataclass(frozen=True, eq=False)
class Nf4Matmul:
    """Weights in 4 bits, dequantized to the products' dtype for each product."""

    layers: Sequence[Any]
    bias: Float[Tensor, " out"] | None
    padding: Padding

    def forward(self, x: Inputs) -> Outputs:
        """Dequantize and multiply."""
        return DenseMatmul(self._cache.forward(x.dtype), self.bias).forward(x)

    def backward(self, grad_output: Outputs) -> Inputs:
        """Dequantize, unless the recomputed forward pass has done so, and multiply."""
        return DenseMatmul(self._cache.backward(grad_output.dtype), None).backward(grad_output)

    @cached_property
    def _cache(self) -> DequantCache[Tensor]:
        return DequantCache(self._weight, _num_weights(self.layers))

    def _weight(self, dtype: torch.dtype) -> Float[Tensor, "out in"]:
        stacked, views = _allocate(self.layers, self.padding, dtype)
        for layer, view in zip(self.layers, views, strict=True):
            dequantize_into(layer.weight, view)
        return stacked


@dataclass(frozen=True, eq=False)
class Fp8Matmul:
    """Weights in 8 bits with a scale a row (an output), multiplied in 8 bits.

    Forward, a token's scale and an output's scale are applied after the product. Backward, the sum runs over the
    outputs, so their scales are multiplied into grad_output before it is cast.
    """

    weight: Num[Tensor, "out in"]
    scales: Float32[Tensor, " out"]
    ones: Float32[Tensor, "in"]
    bias: Float[Tensor, " out"] | None

    def forward(self, x: Inputs) -> Outputs:
        """Cast the input and multiply."""
        return fp8_matmul_scaled(cast_rows(x), self.weight, self.scales, self.bias, Fp8Linear.fast)

    def backward(self, grad_output: Outputs) -> Inputs:
        """Cast the scaled gradient, transpose the weight, and multiply."""
        cast = cast_rows(grad_output, Fp8Linear.grad_dtype, self.scales)
        return fp8_matmul_scaled(cast, transposed(self.weight), self.ones, fast=Fp8Linear.fast)


@dataclass(frozen=True, eq=False)
class Nf4Fp8Matmul:
    """Weights in 4 bits, brought to 8 bits for each product and multiplied as `Fp8Matmul`."""

    layers: Sequence[Any]
    bias: Float[Tensor, " out"] | None

    def forward(self, x: Inputs) -> Outputs:
        """Bring the weights to 8 bits and multiply."""
        return self._cache.forward(x.dtype).forward(x)

    def backward(self, grad_output: Outputs) -> Inputs:
        """The same, unless the recomputed forward pass has done so."""
        return self._cache.backward(grad_output.dtype).backward(grad_output)

    @cached_property
    def _cache(self) -> DequantCache[Fp8Matmul]:
        first = self.layers[0]
        ones = torch.ones(first.in_features, device=first.weight.device)
        return DequantCache(
            lambda _: Fp8Matmul(*to_fp8(self.layers), ones, self.bias), _num_weights(self.layers)
        )


@dataclass(frozen=True, eq=False)
class TrainedMatmul:
    """Trained weights in fp32, cast to the products' dtype once for a forward pass and its backward pass."""

    layers: Sequence[Any]
    padding: Padding

    def forward(self, x: Inputs, weight: Float[Tensor, "out in"]) -> Outputs:
        """x W^T + bias, with what `cast_weight` returned."""
        biases = [layer.bias for layer in self.layers]
        if biases[0] is None:
            return DenseMatmul(weight, None).forward(x)
        stacked = weight.new_zeros(1, len(weight))
        for bias, outputs in zip(biases, self._outputs(), strict=True):
            round_into(bias[None], stacked[:, outputs])
        return DenseMatmul(weight, stacked[0]).forward(x)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Each layer's weight and, if it has one, bias."""
        return [
            weight for layer in self.layers for weight in (layer.weight, layer.bias) if weight is not None
        ]

    def param_grads(self, grad_output: Outputs, x: Inputs) -> list[Tensor]:
        """Gradients of `parameters`, in fp32."""
        grad_weight = weight_grad(grad_output, x)
        grads = []
        for layer, outputs in zip(self.layers, self._outputs(), strict=True):
            grads.append(grad_weight[outputs, : layer.in_features])
            if layer.bias is not None:
                grads.append(grad_output[:, outputs].sum(0, dtype=torch.float32))
        return grads

    def cast_weight(self, dtype: torch.dtype) -> Float[Tensor, "out in"]:
        """The stacked weights as they are now, stochastically rounded to `dtype`."""
        stacked, views = _allocate(self.layers, self.padding, dtype)
        for layer, view in zip(self.layers, views, strict=True):
            round_into(layer.weight, view)
        return stacked

    def _outputs(self) -> Iterator[slice]:
        """Each layer's outputs among all."""
        start = 0
        for layer in self.layers:
            yield slice(start, start + layer.out_features)
            start += layer.out_features + self.padding.outputs


def weight_grad(grad_output: Float[Tensor, "token a"], x: Float[Tensor, "token b"]) -> Float[Tensor, "a b"]:
    """Gradient of a weight, grad_output^T x: summed over tokens and returned in fp32."""
    if grad_output.is_cuda and grad_output.dtype != torch.float32:
        return torch.mm(grad_output.T, x, out_dtype=torch.float32)
    return (grad_output.T @ x).float()


def trained_matmul(layers: Sequence[Any], padding: Padding) -> TrainedMatmul | None:
    """The backend for layers whose weights are all trained; None if some are not, or have adapters."""
    weights = [weight for layer in layers for weight in layer.parameters()]
    are_plain = all(type(layer) is nn.Linear for layer in layers)
    have_same_bias = len({layer.bias is None for layer in layers}) == 1 if are_plain else False
    if not have_same_bias or not all(
        weight.requires_grad and weight.dtype == torch.float32 for weight in weights
    ):
        return None
    return TrainedMatmul(layers, padding)


def dense_matmul(layers: Sequence[Any], compute: torch.dtype, padding: Padding) -> DenseMatmul | None:
    """The backend for plain linear layers with weights in the products' dtype; None for others."""
    if any(type(layer) is not nn.Linear or layer.weight.dtype != compute for layer in layers):
        return None
    weights = [layer.weight for layer in layers]
    weight = stacked(weights) if padding == NO_PADDING else _stacked_with_padding(layers, padding)
    return DenseMatmul(weight, stacked_bias(layers, padding))


def fp8_matmul(layers: Sequence[Fp8Linear]) -> Fp8Matmul | None:
    """The backend for 8-bit layers; None if one of them multiplies in bf16 or has padded sizes."""
    if not all(layer.uses_fp8 and not layer.is_padded for layer in layers):
        return None
    weight, scales = (
        stacked(parts) for parts in ([layer.weight for layer in layers], [layer.scales for layer in layers])
    )
    bias = stacked_bias(layers, NO_PADDING)
    return Fp8Matmul(weight, scales, layers[0].ones, None if bias is None else bias.bfloat16())


def _num_weights(layers: Sequence[Any]) -> int:
    return sum(layer.out_features * layer.in_features for layer in layers)


def stacked(parts: Sequence[Tensor]) -> Tensor:
    """The matrices (or vectors) as one; each of them is a view of it from now on."""
    if len(parts) == 1:
        return parts[0].data
    first, sizes = parts[0], [len(part) for part in parts]
    ends = [first.storage_offset() + rows * first.stride(0) for rows in accumulate(sizes, initial=0)]
    is_one_storage = len({part.untyped_storage()._cdata for part in parts}) == 1
    if is_one_storage and [part.storage_offset() for part in parts] == ends[:-1]:
        return first.data.as_strided((sum(sizes), *first.shape[1:]), first.stride())
    # Concatenation is not implemented for all 8-bit dtypes, but for bytes.
    dtype = torch.uint8 if first.element_size() == 1 else first.dtype
    matrix = torch.cat([part.data.view(dtype) for part in parts]).view(first.dtype)
    for part, view in zip(parts, matrix.split(sizes), strict=True):
        part.data = view
    return matrix


def _stacked_with_padding(layers: Sequence[Any], padding: Padding) -> Float[Tensor, "out in"]:
    """The layers' weights stacked, each with its zeros; each is a view of that from now on."""
    matrix, views = _allocate(layers, padding, layers[0].weight.dtype)
    for layer, view in zip(layers, views, strict=True):
        layer.weight.data = view.copy_(layer.weight.data)
    return matrix


def _allocate(
    layers: Sequence[Any], padding: Padding, dtype: torch.dtype
) -> tuple[Float[Tensor, "out in"], list[Float[Tensor, "layer_out layer_in"]]]:
    """A matrix for the stacked weights of all layers, zero where it is padding, and a view of it for each layer."""
    first, heights = layers[0], [layer.out_features + padding.outputs for layer in layers]
    make = torch.empty if padding == NO_PADDING else torch.zeros
    matrix = make(sum(heights), first.in_features + padding.inputs, dtype=dtype, device=first.weight.device)
    pieces = zip(layers, matrix.split(heights), strict=True)
    return matrix, [piece[: layer.out_features, : layer.in_features] for layer, piece in pieces]


def stacked_bias(layers: Sequence[Any], padding: Padding) -> Float[Tensor, " out"] | None:
    """The biases of all layers, zeros for a layer without one; None if no layer has one."""
    if all(layer.bias is None for layer in layers):
        return None
    some = next(layer.bias for layer in layers if layer.bias is not None)
    biases = [
        some.new_zeros(layer.out_features) if layer.bias is None else layer.bias.data for layer in layers
    ]
    return torch.cat([functional.pad(bias, (0, padding.outputs)) for bias in biases])
