"""Fake kernels: what layers that run on a GPU only allocate and keep for the backward pass, without their arithmetic.

Each stands for one kernel of `kernels.attention`, of Liger or of bitsandbytes, and must keep what that one keeps. The
fused layers of `kernels.fusion` need no fakes: they run as they are, on operations that compute shapes only.
`benchmarks/memory.py` compares the sum with what a GPU measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from tunesmith.batching.batch import Segments
from tunesmith.kernels.attention.short import MAX_LENGTH
from tunesmith.kernels.fusion.layer_spec import (
    Architecture,
    MlpSpec,
    NormSpec,
    child_names,
    described_modules,
)
from tunesmith.precision.formats import Precision
from tunesmith.precision.matmul_backends import NO_PADDING, DequantCache, Padding

ATTENTION = "fake_varlen"
"""Name in transformers' registry of the attention that stands for a variable-length kernel."""


def replace_layers(model: nn.Module, architecture: Architecture) -> None:
    """Give every module for which Liger has a kernel the forward pass of its fake."""
    for spec in described_modules(model, architecture):
        match spec:
            case NormSpec(kind="rms"):
                spec.module.forward = _rms_norm_forward(spec.module)
            case MlpSpec(is_swiglu=True):
                spec.module.forward = _mlp_forward(spec)


def autocast_layer_norms(model: nn.Module) -> None:
    """Let layer norms compute in fp32 under autocast, as on a GPU; on a CPU autocast leaves them alone."""
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.forward = _layer_norm_forward(module)  # type: ignore[method-assign]


def quantize(model: nn.Module, precision: Precision, names: set[str]) -> None:
    """Replace the linear layers of these full names by fake layers in this precision."""
    for name in names:
        parent, _, last = name.rpartition(".")
        layer = model.get_submodule(name)
        assert isinstance(layer, nn.Linear)
        setattr(model.get_submodule(parent), last, FakeQuantizedLinear(layer, precision))


class FakeHostCopy:
    """A tensor's copy in the host's memory: what comes back has its shape and dtype."""

    def __init__(self, x: Tensor) -> None:
        self._shape, self._dtype = x.shape, x.dtype

    def bring(self) -> Tensor:
        """Allocate what the copy comes back to."""
        return torch.empty(self._shape, dtype=self._dtype)

    def wait(self) -> None:
        """Nothing is copied."""


class FakeQuantizedLinear(nn.Linear):
    """A linear layer on frozen weights in less than 16 bits."""

    def __init__(self, layer: nn.Linear, precision: Precision) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        num_bytes = precision.weight_bytes(self.out_features, self.in_features)
        packed = torch.empty(num_bytes, dtype=torch.uint8, device="meta")
        self.weight = nn.Parameter(packed, requires_grad=False)
        self.bias = layer.bias
        self.precision = precision

    def forward(self, x: Tensor) -> Tensor:
        """Output in the products' dtype."""
        device_type = x.device.type
        is_autocast = torch.is_autocast_enabled(device_type)
        x = x.to(torch.get_autocast_dtype(device_type) if is_autocast else x.dtype)
        return _Product.apply(x, self.weight, self.out_features, self.precision)  # type: ignore[no-any-return]

    def matmul_backend(self, layers: Sequence[Any], padding: Padding) -> FakeMatmul | None:
        """The fake backend of layers that a fused layer multiplies together; None if their precision has none."""
        can_fuse = all(layer.precision.can_fuse(padding) for layer in layers)
        return FakeMatmul(layers, padding) if can_fuse else None


class FakeMatmul:
    """The matmul backend of fake quantized layers."""

    def __init__(self, layers: Sequence[FakeQuantizedLinear], padding: Padding) -> None:
        self._outputs = sum(layer.out_features + padding.outputs for layer in layers)
        self._inputs = layers[0].in_features + padding.inputs
        # Products with padding are never in 8 bits.
        self._copy = layers[0].precision.fused_copy if padding == NO_PADDING else "compute"
        self._cache = DequantCache(self._dequantized, self._outputs * self._inputs)

    def forward(self, x: Tensor) -> Tensor:
        """All outputs."""
        weight = None if self._copy is None else self._cache.forward(x.dtype)
        if weight is None or self._copy == "fp8":
            return _fp8_product(x, (self._outputs, self._inputs))
        return x @ weight.T

    def backward(self, grad_output: Tensor) -> Tensor:
        """Gradient of the input."""
        weight = None if self._copy is None else self._cache.backward(grad_output.dtype)
        if weight is None or self._copy == "fp8":
            return _fp8_product(grad_output, (self._inputs, self._outputs))
        return grad_output @ weight

    def _dequantized(self, dtype: torch.dtype) -> Tensor:
        dtype = torch.uint8 if self._copy == "fp8" else dtype
        return torch.empty(self._outputs, self._inputs, dtype=dtype)


class _Product(torch.autograd.Function):
    """The product of a single layer. Keeps the packed weights, and the input if the precision's kernel keeps it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, packed: Tensor, out_features: int, precision: Precision) -> Tensor:
        ctx.save_for_backward(packed, *([x] if precision.keeps_input else []))
        ctx.in_features, ctx.precision = x.shape[-1], precision
        out = _single_product(x, (out_features, ctx.in_features), precision)
        return out.view(*x.shape[:-1], out_features)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        (grad_output,) = grad_outputs
        grad_x = _single_product(grad_output, (ctx.in_features, grad_output.shape[-1]), ctx.precision)
        return grad_x.view(*grad_output.shape[:-1], ctx.in_features), None, None, None


def _single_product(x: Tensor, shape: tuple[int, int], precision: Precision) -> Tensor:
    """The product with the transpose of a matrix of this shape."""
    flat = x.flatten(0, -2)
    return _fp8_product(flat, shape) if precision.multiplies_in_fp8 else flat @ flat.new_empty(shape).T


def _fp8_product(x: Tensor, shape: tuple[int, int]) -> Tensor:
    """The same in 8 bits: a copy of the input in 8 bits, and none of the matrix."""
    cast = x.new_empty(x.shape, dtype=torch.uint8)
    out = x @ x.new_empty(1, 1).expand(shape).T
    del cast
    return out


def _rms_norm_forward(module: nn.Module) -> Any:
    def forward(x: Tensor) -> Tensor:
        return _RmsNorm.apply(x, module.weight)  # type: ignore[no-any-return]

    return forward


class _RmsNorm(torch.autograd.Function):
    """Keeps its input and a number for each row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        x = x.contiguous()
        rstd = x.new_empty(x.numel() // x.shape[-1], dtype=torch.float32)
        ctx.save_for_backward(x, weight, rstd)
        return torch.empty_like(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor]:
        x, weight, _ = ctx.saved_tensors
        return torch.empty_like(x), torch.empty_like(weight)


def _mlp_forward(spec: MlpSpec) -> Any:
    module = spec.module
    gate, up, down = child_names(module, (*spec.projections, spec.output))

    def forward(x: Tensor) -> Tensor:
        outputs = (module.get_submodule(name)(x) for name in (gate, up))
        return module.get_submodule(down)(_Swiglu.apply(*outputs))  # type: ignore[no-any-return]

    return forward


class _Swiglu(torch.autograd.Function):
    """Keeps gate and up, which the backward pass overwrites with their gradients."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return torch.empty_like(gate)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        return gate.view_as(gate), up.view_as(up)


def _layer_norm_forward(module: nn.LayerNorm) -> Any:
    def forward(x: Tensor) -> Tensor:
        if not torch.is_autocast_enabled(x.device.type):
            return nn.LayerNorm.forward(module, x)
        weight, bias = (None if tensor is None else tensor.float() for tensor in (module.weight, module.bias))
        return functional.layer_norm(x.float(), module.normalized_shape, weight, bias, module.eps)

    return forward


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    segments: Segments | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    device_type = query.device.type
    is_autocast = torch.is_autocast_enabled(device_type)
    compute = torch.get_autocast_dtype(device_type) if is_autocast else value.dtype
    heads = [x.to(compute).squeeze(0).transpose(0, 1) for x in (query, key, value)]
    lengths = [query.shape[2]] if segments is None else segments.lengths.tolist()
    pairs = sum(length**2 for length in lengths)
    num_pairs = pairs if options.get("is_causal") is False else pairs // 2
    return _VarlenAttention.apply(*heads, num_pairs, max(lengths) <= MAX_LENGTH)[None], None  # type: ignore[index]


class _VarlenAttention(torch.autograd.Function):
    """Keeps queries, keys, values, the output, and a number for each head of a token."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, num_pairs: int, are_short: bool
    ) -> Tensor:
        out = query.new_empty(query.shape)
        logsumexp = query.new_empty(query.shape[1], query.shape[0], dtype=torch.float32)
        ctx.save_for_backward(query, key, value, out, logsumexp)
        ctx.num_pairs, ctx.are_short = num_pairs, are_short
        _count_products(query, num_pairs, num_products=2)
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        query, key, value, _, logsumexp = ctx.saved_tensors
        grad_query, grad_key, grad_value = (x.new_empty(x.shape) for x in (query, key, value))
        if not ctx.are_short:
            # Flash attention accumulates grad_query in fp32, and if heads share keys, expands those first.
            accumulated = grad_query.new_empty(query.shape, dtype=torch.float32)
            delta = torch.empty_like(logsumexp)
            if key.shape[1] != query.shape[1]:
                expanded = [query.new_empty(query.shape) for _ in range(2)]
                del expanded
            del accumulated, delta
        _count_products(query, ctx.num_pairs, num_products=5)
        return grad_query, grad_key, grad_value, None, None


def _count_products(query: Tensor, num_pairs: int, num_products: int) -> None:
    """Run a product with the arithmetic of these products over all heads, between all pairs of tokens.

    Its result is a single number, so it allocates nothing.
    """
    row = query.new_empty(1).expand(num_products * num_pairs * query.shape[1] * query.shape[2])
    torch.mm(row[None], row[:, None])


ALL_ATTENTION_FUNCTIONS.register(ATTENTION, _attention)
