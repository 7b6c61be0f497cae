"""Weights in int8 by bitsandbytes (Dettmers et al. 2022)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from tunesmith.precision.formats import check_error
from tunesmith.precision.formats._bitsandbytes import BitsAndBytes, is_layer

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tunesmith.precision.matmul_backends import Padding


class Int8(BitsAndBytes):
    """8 bits a weight with a scale a row, by bitsandbytes (Dettmers et al. 2022); layers are not fused."""

    peft_ignores_scales = True
    keeps_input = True

    def options(self) -> dict[str, Any]:
        """8 bits."""
        return {"load_in_8bit": True}

    def load_arguments(self, skipped: Sequence[str] = ()) -> dict[str, Any]:
        """As of all; and bitsandbytes no longer logs at every product that it casts the input to fp16."""
        arguments = super().load_arguments(skipped)
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        return arguments

    def holds(self, layer: nn.Module) -> bool:
        """Whether it is an 8-bit layer of bitsandbytes."""
        return is_layer(layer, "Linear8bitLt")

    def can_fuse(self, padding: Padding) -> bool:
        """Never."""
        return False

    def weight_bytes(self, rows: int, columns: int) -> int:
        """A byte a weight and an fp32 scale a row."""
        return rows * columns + 4 * rows

    def probe(self, device: torch.device) -> str:
        """Quantize and dequantize a matrix."""
        import torch
        from bitsandbytes.functional import int8_vectorwise_dequant, int8_vectorwise_quant

        weights = torch.randn(64, 64, device=device).half()
        quantized, scales, _ = int8_vectorwise_quant(weights)
        check_error(int8_vectorwise_dequant(quantized, scales), weights.float(), 0.05)
        return f"bitsandbytes {metadata.version('bitsandbytes')}, works on {device.type}"
