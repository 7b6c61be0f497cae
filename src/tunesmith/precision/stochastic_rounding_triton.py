"""The kernel of `narrow`, for a GPU."""

from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl
from jaxtyping import BFloat16, Float32
from torch import Tensor

from tunesmith.precision.stochastic_rounding import FIRST, SECOND

BLOCK = 2048
"""Columns of one program, at most."""
_FIRST, _SECOND = tl.constexpr(FIRST), tl.constexpr(SECOND)


# What checks signatures in tests would hide the source that Triton compiles.
@triton.jit
@no_type_check
def _narrow(wide, place, wide_row, place_row, width, block: tl.constexpr):
    row = tl.program_id(0)
    column = tl.program_id(1) * block + tl.arange(0, block)
    inside = column < width
    bits = tl.load(wide + row.to(tl.int64) * wide_row + column, mask=inside, other=0.0).to(
        tl.int32, bitcast=True
    )
    mixed = (row * width + column).to(tl.uint32) * _FIRST
    mixed = (mixed ^ (mixed >> 15)) * _SECOND
    threshold = ((mixed ^ (mixed >> 13)) & 0xFFFF).to(tl.int32)
    # All bits but the low 16 of the sum.
    rounded = ((bits + threshold) & -65536).to(tl.float32, bitcast=True)
    tl.store(place + row.to(tl.int64) * place_row + column, rounded.to(place.dtype.element_ty), mask=inside)


def narrowed(wide: Float32[Tensor, "row column"], place: BFloat16[Tensor, "row column"]) -> None:
    """See `narrow.narrowed`; both with columns side by side."""
    rows, width = wide.shape
    block = min(BLOCK, triton.next_power_of_2(width))
    _narrow[(rows, triton.cdiv(width, block))](
        wide, place, wide.stride(0), place.stride(0), width, block=block, num_warps=4 if block > 512 else 1
    )
