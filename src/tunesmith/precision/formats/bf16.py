"""Weights in bf16."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunesmith.precision.formats import check_error
from tunesmith.precision.formats._dense import Dense

if TYPE_CHECKING:
    import torch


class Bf16(Dense):
    """16 bits with the exponent of fp32."""

    def probe(self, device: torch.device) -> str:
        """A product of two matrices."""
        import torch

        identity = torch.eye(8, device=device, dtype=torch.bfloat16)
        check_error((identity @ identity).float(), identity.float(), 1e-2)
        return f"works on {device.type}"
