"""What layers that only run on a GPU allocate and keep for the backward pass, done by operations without data.

Each stands for one piece of `model.attention`, `model.kernels` or bitsandbytes and must keep what that one keeps; the
benchmark `benchmarks/memory.py` compares their sum with what a GPU measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from tunesmith.batching.batch import Segments
from tunesmith.kernels.attention.short import LONGEST
from tunesmith.kernels.fusion.layer_spec import (
    Architecture,
    MlpSpec,
    NormSpec,
    child_names,
    described_modules,
)
from tunesmith.precision import matmul_backends

ATTENTION = "counted_varlen"
"""Name in transformers' registry of the attention that stands for a variable-length kernel."""
_NF4_BLOCK, _SCALES_BLOCK = 64, 256


def replace_layers(model: nn.Module, architecture: Architecture) -> None:
    """Give every module for which Liger has a kernel the forward pass of its stand-in."""
    for spec in described_modules(model, architecture):
        match spec:
            case NormSpec(kind="rms"):
                spec.module.forward = _norm(spec.module)
            case MlpSpec(is_swiglu=True):
                spec.module.forward = _mlp(spec)


def as_autocast_on_gpu(model: nn.Module) -> None:
    """Let layers that autocast runs in fp32 on a GPU, but not on a CPU, do so."""
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.forward = _layer_norm(module)  # type: ignore[method-assign]


def quantise(model: nn.Module, precision: str, names: set[str]) -> None:
    """Put layers with weights in `precision` in the place of the linear layers of these full names."""
    for name in names:
        parent, _, last = name.rpartition(".")
        layer = model.get_submodule(name)
        assert isinstance(layer, nn.Linear)
        setattr(model.get_submodule(parent), last, Quantised(layer, precision))


def quantised_bytes(rows: int, columns: int, precision: str) -> int:
    """Bytes of a matrix: nf4 with doubly quantised scales (Dettmers et al. 2023, section 3); int8 and fp8 with a scale
    a row."""
    size = rows * columns
    if precision not in ("nf4", "nf4-fp8"):
        return size + 4 * rows
    blocks = -(-size // _NF4_BLOCK)
    return -(-size // 2) + blocks + 4 * -(-blocks // _SCALES_BLOCK)


class OnHost:
    """A tensor's copy on the host: of what comes back from there the device knows nothing but its shape."""

    def __init__(self, rows: Tensor) -> None:
        self._shape, self._dtype = rows.shape, rows.dtype

    def bring(self) -> Tensor:
        """What the copy comes back to."""
        return torch.empty(self._shape, dtype=self._dtype)

    def wait(self) -> None:
        """Nothing is to be waited for."""


class Quantised(nn.Linear):
    """A linear layer on frozen weights in less than 16 bits. Products with nf4 and int8 first make a copy of the
    weights in 16 bits; those with fp8 make one of what is multiplied in 8."""

    def __init__(self, layer: nn.Linear, precision: str) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        size = quantised_bytes(self.out_features, self.in_features, precision)
        self.weight = nn.Parameter(torch.empty(size, dtype=torch.uint8, device="meta"), requires_grad=False)
        self.bias = layer.bias
        self.precision = precision

    def forward(self, hidden: Tensor) -> Tensor:
        """Output in the precision of the products."""
        kind = hidden.device.type
        compute = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
        given = hidden.to(compute)
        return _Multiplied.apply(given, self.weight, self.out_features, self.precision)  # type: ignore[no-any-return]


class _Products:
    """The product of quantised layers of one input, for layers that are run as whole functions."""

    def __init__(self, layers: Sequence[Quantised], pad: matmul_backends.Padding) -> None:
        self._outputs = sum(layer.out_features + pad.outputs for layer in layers)
        self._inputs = layers[0].in_features + pad.inputs
        # Widths that need zeros are not multiplied in 8 bits.
        self._precision = layers[0].precision if pad == matmul_backends.NO_PADDING else "nf4"
        self._cache = matmul_backends.DequantCache(self._whole, self._outputs * self._inputs)

    def forward(self, rows: Tensor) -> Tensor:
        """Outputs."""
        weight = None if self._precision == "fp8" else self._cache.forward(rows.dtype)
        if weight is None or self._precision == "nf4-fp8":
            return _product(rows, (self._outputs, self._inputs), "fp8")
        return rows @ weight.T

    def backward(self, gradient: Tensor) -> Tensor:
        """Gradient of the input."""
        weight = None if self._precision == "fp8" else self._cache.backward(gradient.dtype)
        if weight is None or self._precision == "nf4-fp8":
            return _product(gradient, (self._inputs, self._outputs), "fp8")
        return gradient @ weight

    def _whole(self, dtype: torch.dtype) -> Tensor:
        dtype = torch.uint8 if self._precision == "nf4-fp8" else dtype
        return torch.empty(self._outputs, self._inputs, dtype=dtype)


def _products(layers: Sequence[Quantised], pad: matmul_backends.Padding) -> _Products | None:
    """As fans of the real layers are had: of int8 there are none, and of fp8 none with zeros."""
    without = ("int8",) if pad == matmul_backends.NO_PADDING else ("int8", "fp8")
    return None if any(layer.precision in without for layer in layers) else _Products(layers, pad)


matmul_backends.BACKENDS[Quantised] = _products


class _Multiplied(torch.autograd.Function):
    """Keeps the packed weights only; of int8 the input too."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, packed: Tensor, rows: int, precision: str) -> Tensor:
        ctx.save_for_backward(packed, *([hidden] if precision == "int8" else []))
        ctx.columns, ctx.precision = hidden.shape[-1], precision
        return _product(hidden, (rows, ctx.columns), precision).view(*hidden.shape[:-1], rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = gradients
        of_hidden = _product(gradient, (ctx.columns, gradient.shape[-1]), ctx.precision)
        return of_hidden.view(*gradient.shape[:-1], ctx.columns), None, None, None


def _product(hidden: Tensor, shape: tuple[int, int], precision: str) -> Tensor:
    """The product with a matrix of this shape, transposed."""
    flat = hidden.flatten(0, -2)
    if precision != "fp8":
        return flat @ flat.new_empty(shape).T
    in_8_bits = flat.new_empty(flat.shape, dtype=torch.uint8)
    out = flat @ flat.new_empty(1, 1).expand(shape).T
    del in_8_bits
    return out


def _norm(module: nn.Module) -> Any:
    def forward(hidden: Tensor) -> Tensor:
        return _Norm.apply(hidden, module.weight)  # type: ignore[no-any-return]

    return forward


class _Norm(torch.autograd.Function):
    """Keeps its input and a number for each row."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor) -> Tensor:
        hidden = hidden.contiguous()
        rows = hidden.new_empty(hidden.numel() // hidden.shape[-1], dtype=torch.float32)
        ctx.save_for_backward(hidden, weight, rows)
        return torch.empty_like(hidden)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        hidden, weight, _ = ctx.saved_tensors
        return torch.empty_like(hidden), torch.empty_like(weight)


def _mlp(spec: MlpSpec) -> Any:
    module = spec.module
    gate, up, down = child_names(module, (*spec.projections, spec.output))

    def forward(hidden: Tensor) -> Tensor:
        outputs = (module.get_submodule(name)(hidden) for name in (gate, up))
        return module.get_submodule(down)(_Gated.apply(*outputs))  # type: ignore[no-any-return]

    return forward


class _Gated(torch.autograd.Function):
    """Keeps gate and up, into which the backward pass writes their gradients."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return torch.empty_like(gate)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        return gate.view_as(gate), up.view_as(up)


def _layer_norm(module: nn.LayerNorm) -> Any:
    def forward(hidden: Tensor) -> Tensor:
        kind = hidden.device.type
        if not torch.is_autocast_enabled(kind):
            return nn.LayerNorm.forward(module, hidden)
        weight, bias = (None if one is None else one.float() for one in (module.weight, module.bias))
        return functional.layer_norm(hidden.float(), module.normalized_shape, weight, bias, module.eps)

    return forward


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    segments: Segments | None = None,
    **extras: Any,
) -> tuple[Tensor, None]:
    kind = query.device.type
    compute = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else value.dtype
    lines = [one.to(compute).squeeze(0).transpose(0, 1) for one in (query, key, value)]
    lengths = [query.shape[2]] if segments is None else segments.lengths.tolist()
    pairs = sum(length**2 for length in lengths)
    seen = pairs if extras.get("is_causal") is False else pairs // 2
    return _Attended.apply(*lines, seen, max(lengths) <= LONGEST)[None], None  # type: ignore[index]


class _Attended(torch.autograd.Function):
    """Keeps queries, keys, values, what comes out, and a number for each head of a token."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, pairs: int, are_short: bool) -> Tensor:
        out = query.new_empty(query.shape)
        sums = query.new_empty(query.shape[1], query.shape[0], dtype=torch.float32)
        ctx.save_for_backward(query, key, value, out, sums)
        ctx.pairs, ctx.are_short = pairs, are_short
        _multiply(query, pairs, products=2)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        query, key, value, _, sums = ctx.saved_tensors
        of_query, of_key, of_value = (one.new_empty(one.shape) for one in (query, key, value))
        if not ctx.are_short:
            # The kernel for long ones adds up in fp32 and, where heads share keys, has them for each head first.
            in_fp32, weighed = of_query.new_empty(query.shape, dtype=torch.float32), torch.empty_like(sums)
            if key.shape[1] != query.shape[1]:
                expanded = [query.new_empty(query.shape) for _ in range(2)]
                del expanded
            del in_fp32, weighed
        _multiply(query, ctx.pairs, products=5)
        return of_query, of_key, of_value, None, None


def _multiply(query: Tensor, pairs: int, products: int) -> None:
    """Do so many products over all heads between tokens that see each other, as one that gives a single number."""
    line = query.new_empty(1).expand(products * pairs * query.shape[1] * query.shape[2])
    torch.mm(line[None], line[:, None])


ALL_ATTENTION_FUNCTIONS.register(ATTENTION, _attention)
