"""Frozen linear layers with weights in 8-bit floating point, multiplied in 8 bits forward and backward.

With W8 and a scale for each output (row) of the weight (see `fp8_cast`):

    y      = (x8 W8^T) * scale_x * scale_w          x8, scale_x: x cast row by row
    grad_x = (g8 W8) * scale_g                      g8, scale_g: grad_y * scale_w cast row by row

Backward the sum runs over the outputs, so their scales cannot be applied after it; they are multiplied into grad_y
before its cast. The hardware wants operands contiguous along the summed dimension, so the backward pass makes a
transposed copy of W8, which lives as long as its product. One copy of W8 in memory is all that a layer keeps.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from tunesmith.precision.fp8_cast import ALIGNMENT, Cast, cast_rows, fp8_matmul_scaled, padded, transposed

WEIGHT_DTYPE = torch.float8_e4m3fn


def why_not(device: torch.device) -> str:
    """Why this device cannot multiply in 8 bits; empty if it can. A product is tried."""
    if device.type != "cuda":
        return f"it needs a GPU, this is {device.type}"
    try:
        identity = torch.eye(8 * ALIGNMENT, device=device, dtype=torch.bfloat16)
        cast = cast_rows(identity)
        product = fp8_matmul_scaled(cast, transposed(cast.rows), cast.scales[:, 0])
        return "" if torch.equal(product, identity) else "its products are wrong"
    except (RuntimeError, ImportError, ValueError, NotImplementedError) as error:
        return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__


def _flat(x: Float[Tensor, "*token width"]) -> Float[Tensor, "row width"]:
    return x.reshape(-1, x.shape[-1])


class SharedCast:
    """The latest input and its cast, for neighbours with the same input (q, k and v; gate and up)."""

    def __init__(self) -> None:
        self._input: weakref.ref[Tensor] | None = None
        self._state: tuple[int, bool] = (0, False)
        self._cast: Cast | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> SharedCast:
        return SharedCast()

    def cast(self, x: Float[Tensor, "*token width"]) -> Cast:
        """The rows of `x` in 8 bits."""
        if x.is_inference():
            return cast_rows(_flat(x))
        # A cast from before a CUDA graph capture must not be reused within it: the replay would not repeat it.
        state = (x._version, x.is_cuda and torch.cuda.is_current_stream_capturing())
        is_same = self._input is not None and self._input() is x and self._state == state
        if not is_same or self._cast is None:
            self._cast = None
            self._cast = cast_rows(_flat(x.detach()))
            self._input, self._state = weakref.ref(x), state
        return self._cast


class Fp8Linear(nn.Linear):
    """A frozen linear layer in 8 bits. PEFT takes it for a linear layer with weights in `compute_dtype`."""

    compute_dtype: ClassVar[torch.dtype] = torch.bfloat16
    grad_dtype: ClassVar[torch.dtype] = torch.float8_e4m3fn
    """What gradients are cast to. float8_e5m2 has a wider range, which scaled rows do not need, and fewer digits."""
    fast: ClassVar[bool] = True
    """Accumulate with fewer bits, which is faster on a Hopper GPU."""

    scales: Tensor
    ones: Tensor

    def __init__(
        self, plain: nn.Linear, device: torch.device, uses_fp8: bool, shared: SharedCast | None = None
    ) -> None:
        """With `uses_fp8` products are in 8 bits, else with the dequantized weight. `shared` is for layers that have a
        neighbour with the same input."""
        nn.Module.__init__(self)
        self.in_features, self.out_features = plain.in_features, plain.out_features
        self.uses_fp8, self._shared = uses_fp8, shared
        small, scales = cast_rows(plain.weight.detach().to(device), WEIGHT_DTYPE)
        missing = padded(self.out_features) - self.out_features
        if missing:
            small = torch.cat([small, small.new_zeros(missing, small.shape[1])])
            scales = torch.cat([scales, scales.new_ones(missing, 1)])
        self.weight = nn.Parameter(small, requires_grad=False)
        self.register_buffer("scales", scales[:, 0].contiguous())
        self.register_buffer("ones", torch.ones(small.shape[1], device=device), persistent=False)
        bias = None if plain.bias is None else plain.bias.detach().to(device)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    @property
    def is_padded(self) -> bool:
        """Whether the stored weight has zeros behind its rows or columns."""
        return self.weight.shape != (self.out_features, self.in_features)

    def dequantized(self, dtype: torch.dtype) -> Float[Tensor, "out in"]:
        """The weight that the layer multiplies with."""
        rows = self.weight[: self.out_features, : self.in_features]
        return (rows.float() * self.scales[: self.out_features, None]).to(dtype)

    def forward(self, x: Float[Tensor, "*token in"]) -> Float[Tensor, "*token out"]:
        """The output in the dtype that autocast asks for, else in that of the input."""
        device_type = x.device.type
        autocast = torch.is_autocast_enabled(device_type)
        dtype = torch.get_autocast_dtype(device_type) if autocast else x.dtype
        # Views are made outside of the autograd functions, so that an adapter may add to the output in place.
        if self.uses_fp8:
            cast = self._shared.cast(x) if self._shared else cast_rows(_flat(x.detach()))
            out = _Fp8Product.apply(_flat(x), cast.rows, cast.scales, self, dtype)
        else:
            out = _DequantizedProduct.apply(_flat(x), self, dtype)
        return out[:, : self.out_features].view(*x.shape[:-1], self.out_features)  # type: ignore[no-any-return]

    def input_grad(self, grad_output: Float[Tensor, "row out"]) -> Float[Tensor, "row in"]:
        """Gradient of the input in bf16, by a product in 8 bits."""
        cast = cast_rows(grad_output, self.grad_dtype, self.scales)
        product = fp8_matmul_scaled(cast, transposed(self.weight), self.ones, fast=self.fast)
        return product[:, : self.in_features]

    def extra_repr(self) -> str:
        """What `print` shows of the layer."""
        return f"{super().extra_repr()}, uses_fp8={self.uses_fp8}"


class _Fp8Product(torch.autograd.Function):
    """A product in 8 bits. Nothing but the weight is kept for the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, rows: Tensor, scales: Tensor, layer: Fp8Linear, dtype: torch.dtype
    ) -> Tensor:
        ctx.layer, ctx.dtype = layer, x.dtype
        bias = None
        if layer.bias is not None:
            bias = layer.bias.to(torch.bfloat16)
            missing = layer.weight.shape[0] - layer.out_features
            bias = functional.pad(bias, (0, missing)) if missing else bias
        out = fp8_matmul_scaled(Cast(rows, scales), layer.weight, layer.scales, bias, layer.fast)
        return out.to(dtype)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, None, None, None, None]:
        if not ctx.needs_input_grad[0]:
            return None, None, None, None, None
        return ctx.layer.input_grad(grad_outputs[0]).to(ctx.dtype), None, None, None, None


class _DequantizedProduct(torch.autograd.Function):
    """A product with the dequantized weight, which is made anew for each product and never kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Fp8Linear, dtype: torch.dtype) -> Tensor:
        ctx.layer, ctx.dtype = layer, x.dtype
        bias = None if layer.bias is None else layer.bias.to(dtype)
        return functional.linear(x.to(dtype), layer.dequantized(dtype), bias)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, None, None]:
        if not ctx.needs_input_grad[0]:
            return None, None, None
        weight = ctx.layer.dequantized(grad_outputs[0].dtype)
        return (grad_outputs[0] @ weight).to(ctx.dtype), None, None


def quantize(model: nn.Module, names: Collection[str], device: torch.device, uses_fp8: bool) -> None:
    """Replace the linear layers of these full names by 8-bit ones on the device.

    They are replaced one by one, so that the device never holds more than one of them in its first precision.
    """
    modules = dict(model.named_modules())
    num_same_input = Counter((name.rpartition(".")[0], modules[name].in_features) for name in names)
    shared = SharedCast()
    for name in names:
        parent, _, last = name.rpartition(".")
        plain: Any = modules.pop(name)
        has_neighbour = num_same_input[parent, plain.in_features] > 1
        layer = Fp8Linear(plain, device, uses_fp8, shared if has_neighbour else None)
        modules[parent].register_module(last, layer)


@contextmanager
def dequantized_products(model: nn.Module) -> Iterator[None]:
    """Within it, 8-bit layers multiply with their dequantized weights, as a merged model would."""
    layers = [module for module in model.modules() if isinstance(module, Fp8Linear) and module.uses_fp8]
    for layer in layers:
        layer.uses_fp8 = False
    try:
        yield
    finally:
        for layer in layers:
            layer.uses_fp8 = True


def dequantize(model: nn.Module) -> nn.Module:
    """The model with plain linear layers, with the weights that it has multiplied with; replaced one by one."""
    for name, layer in list(model.named_modules()):
        if not isinstance(layer, Fp8Linear):
            continue
        parent, _, last = name.rpartition(".")
        plain = nn.Linear(layer.in_features, layer.out_features, bias=False, device="meta")
        plain.weight = nn.Parameter(layer.dequantized(layer.compute_dtype), requires_grad=False)
        plain.register_parameter("bias", layer.bias)
        model.get_submodule(parent).register_module(last, plain)
    return model
