"""Weights and products in fp32."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunesmith.precision.formats import check_error
from tunesmith.precision.formats._dense import Dense

if TYPE_CHECKING:
    import torch


class Fp32(Dense):
    """32 bits: twice the memory of bf16, and slower, for models that 16 bits are too coarse for."""

    goes_alone = True

    @property
    def compute_dtype(self) -> torch.dtype:
        """fp32 too."""
        import torch

        return torch.float32

    def weight_bytes(self, rows: int, columns: int) -> int:
        """Four bytes a weight."""
        return 4 * rows * columns

    def probe(self, device: torch.device) -> str:
        """A product of two matrices."""
        import torch

        identity = torch.eye(8, device=device)
        check_error(identity @ identity, identity, 1e-5)
        return f"works on {device.type}"
