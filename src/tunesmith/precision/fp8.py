"""Frozen linear layers in 8-bit floating point: one copy of the weight, products in 8 bits forward and backward.

A row of the weight (one output) has a scale, and so has each token: y = x Wᵀ is scaled after the product. In dx = dy W
the sum runs over the rows of W, so their scales are multiplied into dy before it is cast. The hardware wants what it
sums over to lie side by side in both factors, so the backward pass makes a transposed copy of W that lives as long as
its product (docs/decisions/012-eight-bit-products.md).
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

from tunesmith.precision.fp8_cast import STEP, Cast, cast_rows, padded, product, transposed

WEIGHT = torch.float8_e4m3fn


def why_not(device: torch.device) -> str:
    """Why this device cannot multiply in 8 bits; nothing if it can. It is tried, not guessed."""
    if device.type != "cuda":
        return f"it needs a GPU, this is {device.type}"
    try:
        square = torch.eye(8 * STEP, device=device, dtype=torch.bfloat16)
        cast = cast_rows(square)
        right = product(cast, transposed(cast.rows), cast.scales[:, 0])
        return "" if torch.equal(right, square) else "its products are wrong"
    except (RuntimeError, ImportError, ValueError, NotImplementedError) as error:
        return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__


def _flat(hidden: Float[Tensor, "*token width"]) -> Float[Tensor, "row width"]:
    return hidden.reshape(-1, hidden.shape[-1])


class LastCast:
    """The input that was cast last, for the neighbours that are given the same one (q, k and v; gate and up)."""

    def __init__(self) -> None:
        self._of: weakref.ref[Tensor] | None = None
        self._state: tuple[int, bool] = (0, False)
        self._cast: Cast | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> LastCast:
        return LastCast()

    def rows(self, hidden: Float[Tensor, "*token width"]) -> Cast:
        """The input's rows in 8 bits."""
        if hidden.is_inference():
            return cast_rows(_flat(hidden))
        # What was cast before a CUDA graph is captured would not be cast again when it is replayed.
        state = (hidden._version, hidden.is_cuda and torch.cuda.is_current_stream_capturing())
        is_same = self._of is not None and self._of() is hidden and self._state == state
        if not is_same or self._cast is None:
            self._cast = None
            self._cast = cast_rows(_flat(hidden.detach()))
            self._of, self._state = weakref.ref(hidden), state
        return self._cast


class Fp8Linear(nn.Linear):
    """A linear layer that answers and passes gradients on, but cannot be trained itself. PEFT takes it for a linear
    layer with weights in `compute_dtype`."""

    compute_dtype: ClassVar[torch.dtype] = torch.bfloat16
    gradients: ClassVar[torch.dtype] = torch.float8_e4m3fn
    """What gradients are cast to; float8_e5m2 has a wider range, which rows with scales do not need, and fewer
    digits."""
    fast: ClassVar[bool] = True
    """Sums with fewer bits, which is faster on a Hopper GPU."""

    scales: Tensor
    ones: Tensor

    def __init__(
        self, plain: nn.Linear, device: torch.device, in_eight_bits: bool, shared: LastCast | None = None
    ) -> None:
        """`in_eight_bits` says whether the products are; if not, they are those of the dequantised weight. `shared`
        is for layers with a neighbour that is given the same input."""
        nn.Module.__init__(self)
        self.in_features, self.out_features = plain.in_features, plain.out_features
        self.in_eight_bits, self._shared = in_eight_bits, shared
        small, scales = cast_rows(plain.weight.detach().to(device), WEIGHT)
        added = padded(self.out_features) - self.out_features
        if added:
            small = torch.cat([small, small.new_zeros(added, small.shape[1])])
            scales = torch.cat([scales, scales.new_ones(added, 1)])
        self.weight = nn.Parameter(small, requires_grad=False)
        self.register_buffer("scales", scales[:, 0].contiguous())
        self.register_buffer("ones", torch.ones(small.shape[1], device=device), persistent=False)
        bias = None if plain.bias is None else plain.bias.detach().to(device)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def dequantised(self, dtype: torch.dtype) -> Float[Tensor, "out in"]:
        """The weight that the layer multiplies with."""
        rows = self.weight[: self.out_features, : self.in_features]
        return (rows.float() * self.scales[: self.out_features, None]).to(dtype)

    def forward(self, hidden: Float[Tensor, "*token in"]) -> Float[Tensor, "*token out"]:
        """As of a linear layer."""
        kind = hidden.device.type
        autocast = torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if autocast else hidden.dtype
        # Views are made here and not within, so that an adapter may add to the output in place.
        if self.in_eight_bits:
            cast = self._shared.rows(hidden) if self._shared else cast_rows(_flat(hidden.detach()))
            out = _EightBits.apply(_flat(hidden), cast.rows, cast.scales, self, dtype)
        else:
            out = _Dequantised.apply(_flat(hidden), self, dtype)
        return out[:, : self.out_features].view(*hidden.shape[:-1], self.out_features)  # type: ignore[no-any-return]

    def to_input(self, gradient: Float[Tensor, "row out"]) -> Float[Tensor, "row in"]:
        """Gradient of the input, in bf16, given that of the output: products in 8 bits."""
        cast = cast_rows(gradient, self.gradients, self.scales)
        return product(cast, transposed(self.weight), self.ones, fast=self.fast)[:, : self.in_features]

    def extra_repr(self) -> str:
        """What `print` shows of the layer."""
        return f"{super().extra_repr()}, in_eight_bits={self.in_eight_bits}"


class _EightBits(torch.autograd.Function):
    """Products in 8 bits. Nothing but the weight is kept for the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, rows: Tensor, scales: Tensor, layer: Fp8Linear, dtype: torch.dtype
    ) -> Tensor:
        ctx.layer, ctx.dtype = layer, hidden.dtype
        bias = None
        if layer.bias is not None:
            bias = layer.bias.to(torch.bfloat16)
            added = layer.weight.shape[0] - layer.out_features
            bias = functional.pad(bias, (0, added)) if added else bias
        out = product(Cast(rows, scales), layer.weight, layer.scales, bias, layer.fast)
        return out.to(dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None, None, None]:
        if not ctx.needs_input_grad[0]:
            return None, None, None, None, None
        return ctx.layer.to_input(gradients[0]).to(ctx.dtype), None, None, None, None


class _Dequantised(torch.autograd.Function):
    """Products of the dequantised weight, which is made anew for each so that it is never kept."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, layer: Fp8Linear, dtype: torch.dtype) -> Tensor:
        ctx.layer, ctx.dtype = layer, hidden.dtype
        bias = None if layer.bias is None else layer.bias.to(dtype)
        return functional.linear(hidden.to(dtype), layer.dequantised(dtype), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None]:
        if not ctx.needs_input_grad[0]:
            return None, None, None
        return (gradients[0] @ ctx.layer.dequantised(gradients[0].dtype)).to(ctx.dtype), None, None


def quantise(model: nn.Module, names: Collection[str], device: torch.device, in_eight_bits: bool) -> None:
    """Exchange the linear layers of these full names for 8-bit ones on the device, one at a time, so that beside them
    the device holds one layer in its first precision."""
    modules = dict(model.named_modules())
    widths = Counter((name.rpartition(".")[0], modules[name].in_features) for name in names)
    shared = LastCast()
    for name in names:
        above, _, own = name.rpartition(".")
        plain: Any = modules.pop(name)
        has_neighbour = widths[above, plain.in_features] > 1
        layer = Fp8Linear(plain, device, in_eight_bits, shared if has_neighbour else None)
        modules[above].register_module(own, layer)


@contextmanager
def plain_products(model: nn.Module) -> Iterator[None]:
    """Within it the model's 8-bit layers multiply as a plain layer with their dequantised weights would."""
    layers = [module for module in model.modules() if isinstance(module, Fp8Linear) and module.in_eight_bits]
    for layer in layers:
        layer.in_eight_bits = False
    try:
        yield
    finally:
        for layer in layers:
            layer.in_eight_bits = True


def dequantise(model: nn.Module) -> nn.Module:
    """The model with plain linear layers again, one at a time, with the weights that it has multiplied with."""
    for name, layer in list(model.named_modules()):
        if not isinstance(layer, Fp8Linear):
            continue
        above, _, own = name.rpartition(".")
        plain = nn.Linear(layer.in_features, layer.out_features, bias=False, device="meta")
        plain.weight = nn.Parameter(layer.dequantised(layer.compute_dtype), requires_grad=False)
        plain.register_parameter("bias", layer.bias)
        model.get_submodule(above).register_module(own, plain)
    return model
