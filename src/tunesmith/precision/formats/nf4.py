"""Weights in NF4 by bitsandbytes, multiplied in bf16: QLoRA (Dettmers et al. 2023)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tunesmith.precision.formats import check_error
from tunesmith.precision.formats._bitsandbytes import BitsAndBytes, is_layer, keep_trainable_on_cpu

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tunesmith.precision.matmul_backends import MatmulBackend, Padding

_GROUP, _SCALE_GROUP = 64, 256
"""Weights with a common scale, and scales with a common scale of theirs."""


class Nf4(BitsAndBytes):
    """4 bits a weight by bitsandbytes, with quantized scales (Dettmers et al. 2023, section 3)."""

    is_suggested = True
    fused_copy: ClassVar[Literal["compute", "fp8"] | None] = "compute"

    def options(self) -> dict[str, Any]:
        """NF4 with double quantization."""
        import torch

        return {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": True,
            "bnb_4bit_compute_dtype": torch.bfloat16,
        }

    def prepare(
        self, model: nn.Module, names: Collection[str], device: torch.device, kernels: str
    ) -> str | None:
        """Keep the weights as bitsandbytes loads them."""
        keep_trainable_on_cpu(model)
        return None

    def holds(self, layer: nn.Module) -> bool:
        """Whether it is a 4-bit layer."""
        return is_layer(layer, "Linear4bit")

    def matmul(self, layers: Sequence[Any], compute: torch.dtype, padding: Padding) -> MatmulBackend | None:
        """Products with weights that are dequantized for each."""
        from tunesmith.precision.matmul_backends import Nf4Matmul, stacked_bias

        if not all(map(self.holds, layers)):
            return None
        return Nf4Matmul(layers, stacked_bias(layers, padding), padding)

    def weight_bytes(self, rows: int, columns: int) -> int:
        """Half a byte a weight, a byte for each group, and four bytes for each group of scales."""
        size = rows * columns
        groups = -(-size // _GROUP)
        return -(-size // 2) + groups + 4 * -(-groups // _SCALE_GROUP)

    def probe(self, device: torch.device) -> str:
        """Quantize and dequantize a matrix."""
        import torch
        from bitsandbytes.functional import dequantize_4bit, quantize_4bit

        weights = torch.randn(64, 64, device=device)
        packed, state = quantize_4bit(weights, quant_type="nf4", compress_statistics=True)
        check_error(dequantize_4bit(packed, state), weights, 0.2)
        return f"bitsandbytes {metadata.version('bitsandbytes')}, works on {device.type}"
