"""Weights in fp8, multiplied in 8 bits where the GPU can (Hopper, Ada and later; decision 012)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from tunesmith.precision.formats import Precision

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tunesmith.precision.matmul_backends import MatmulBackend, Padding


class Fp8(Precision):
    """8-bit floating point (e4m3) with a scale a row, multiplied in 8 bits where the GPU can (Hopper, Ada, later)."""

    is_quantized = True
    is_suggested = True
    at_ends = "bf16"
    # The files' own memory is mapped; layers are cast one by one on their way to the device.
    loads_on_device = False
    peft_ignores_scales = True
    multiplies_in_fp8 = True

    def prepare(
        self, model: nn.Module, names: Collection[str], device: torch.device, kernels: str
    ) -> str | None:
        """Replace the linear layers, but those at the ends, and move the model to the device."""
        from tunesmith.precision.fp8_linear import quantize, why_not
        from tunesmith.precision.quantize import without_ends

        chosen = without_ends(names)
        missing = why_not(device)
        quantize(model, chosen, device, not missing)
        model.to(device)
        how = f"in bf16, which is slower: {missing}" if missing else "in 8 bits"
        return f"weights: fp8, {len(chosen)} layers (products {how})"

    def holds(self, layer: nn.Module) -> bool:
        """Whether it is one of our 8-bit layers."""
        from tunesmith.precision.fp8_linear import Fp8Linear

        return isinstance(layer, Fp8Linear)

    def matmul(self, layers: Sequence[Any], compute: torch.dtype, padding: Padding) -> MatmulBackend | None:
        """Products in 8 bits, if the layers multiply so and their sizes need no padding."""
        from tunesmith.precision.matmul_backends import fp8_matmul

        is_served = self.can_fuse(padding) and all(map(self.holds, layers))
        return fp8_matmul(layers) if is_served else None

    def can_fuse(self, padding: Padding) -> bool:
        """Without padding."""
        from tunesmith.precision.matmul_backends import NO_PADDING

        return padding == NO_PADDING

    def dequantize(self, model: Any) -> nn.Module:
        """With plain linear layers again."""
        from tunesmith.precision.fp8_linear import dequantize

        return dequantize(model)

    def weight_bytes(self, rows: int, columns: int) -> int:
        """A byte a weight and an fp32 scale a row."""
        return rows * columns + 4 * rows

    def probe(self, device: torch.device) -> str:
        """Multiply in 8 bits."""
        from tunesmith.precision.fp8_linear import why_not

        missing = why_not(device)
        if missing:
            raise RuntimeError(f"runs, but without products in 8 bits, which is slower: {missing}")
        return f"products in 8 bits on {device.type}"
