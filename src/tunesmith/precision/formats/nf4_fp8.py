"""Weights in NF4, brought to 8 bits for each product and multiplied so (decision 019)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from tunesmith.precision.formats import MATMUL, check_error, precision_of
from tunesmith.precision.formats.nf4 import Nf4

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tunesmith.precision.matmul_backends import MatmulBackend, Padding


class Nf4Fp8(Nf4):
    """The weights of nf4, multiplied in 8 bits by fused layers where the GPU can (see fp8)."""

    is_suggested = False
    at_ends = "nf4"
    fused_copy = "fp8"

    def prepare(
        self, model: nn.Module, names: Collection[str], device: torch.device, kernels: str
    ) -> str | None:
        """Mark the layers whose products will be in 8 bits."""
        from tunesmith.precision.fp8_linear import why_not

        super().prepare(model, names, device, kernels)
        missing = why_not(device) or ("" if kernels == "fused" else f"the kernels are {kernels}, not fused")
        if missing:
            return f"weights: nf4 (products in bf16, which is slower: {missing})"
        return f"weights: nf4 (products of {self.mark(model)} layers in 8 bits)"

    def mark(self, model: nn.Module) -> int:
        """Mark all 4-bit layers that 8-bit products serve, but those at the ends; return how many.

        The groups of NF4 must end with a row, and 8-bit products take sizes that are multiples of 16.
        """
        from tunesmith.precision.fp8_cast import ALIGNMENT
        from tunesmith.precision.quantize import without_ends

        layers = {name: module for name, module in model.named_modules() if self.holds(module)}
        num_marked = 0
        for layer in map(layers.__getitem__, without_ends(layers)):
            attributes: Any = layer
            group = attributes.weight.quant_state.blocksize
            if attributes.in_features % group == 0 and attributes.out_features % ALIGNMENT == 0:
                vars(layer)[MATMUL] = self.kind
                num_marked += 1
        return num_marked

    def matmul(self, layers: Sequence[Any], compute: torch.dtype, padding: Padding) -> MatmulBackend | None:
        """Products in 8 bits, if all layers are marked for them and none is padded."""
        from tunesmith.precision.matmul_backends import NO_PADDING, Nf4Fp8Matmul, stacked_bias

        if padding != NO_PADDING or any(vars(layer).get(MATMUL) != self.kind for layer in layers):
            return None
        bias = stacked_bias(layers, padding)
        return Nf4Fp8Matmul(layers, None if bias is None else bias.bfloat16())

    def probe(self, device: torch.device) -> str:
        """Bring a 4-bit layer to 8 bits, and multiply in 8 bits."""
        import torch
        from bitsandbytes.nn import Linear4bit

        from tunesmith.precision.nf4_dequant import dequantize_into, to_fp8

        layer = Linear4bit(64, 64, bias=False, quant_type="nf4", compress_statistics=True).to(device)
        weight, scales = to_fp8([layer])
        dequantized = torch.empty(64, 64, device=device)
        dequantize_into(layer.weight, dequantized)
        check_error(weight.float() * scales[:, None], dequantized, 0.06)
        return precision_of("fp8").probe(device)
