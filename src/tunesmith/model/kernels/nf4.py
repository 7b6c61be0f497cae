"""Weights in NF4 (Dettmers et al. 2023), as bitsandbytes stores them, made whole again."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor


def write_whole(stored: Any, place: Float[Tensor, "out in"]) -> None:
    """Write a weight of bitsandbytes (`Params4bit`) to its place, in the precision that the place has."""
    if place.is_cuda:
        from tunesmith.model.kernels import nf4_triton

        nf4_triton.write_whole(stored.data, stored.quant_state, place)
    else:
        from bitsandbytes.functional import dequantize_4bit

        place.copy_(dequantize_4bit(stored.data, stored.quant_state))
