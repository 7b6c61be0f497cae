"""Triton kernel of `stochastic_rounding` (see there for the rounding rule).

Layout: source (row, column) in fp32 and target in bf16, both with contiguous columns and a row stride each, since the
target is often a slice of a stacked weight. The operation is limited by memory; a program takes 2,048 columns of one
row, which is wide enough for full cache lines, and narrow matrices get a single warp per row.
"""

from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl
from jaxtyping import BFloat16, Float32
from torch import Tensor

BLOCK = 2048
"""Columns of a program, at most."""
_PRIME_1, _PRIME_2 = tl.constexpr(0x9E3779B1), tl.constexpr(0x85EBCA77)
"""The same as in `stochastic_rounding`; a test compares both forms bit by bit."""


# The run-time checks of signatures in tests would hide the source that Triton compiles.
@triton.jit
@no_type_check
def _round(source, target, source_stride, target_stride, width, block: tl.constexpr):
    """Round one block of one row. Input: source (row, width) in fp32. Written: target (row, width) in bf16."""
    row = tl.program_id(0)
    column = tl.program_id(1) * block + tl.arange(0, block)
    inside = column < width
    bits = tl.load(source + row.to(tl.int64) * source_stride + column, mask=inside, other=0.0).to(
        tl.int32, bitcast=True
    )
    mixed = (row * width + column).to(tl.uint32) * _PRIME_1
    mixed = (mixed ^ (mixed >> 15)) * _PRIME_2
    threshold = ((mixed ^ (mixed >> 13)) & 0xFFFF).to(tl.int32)
    # -65536 keeps the upper 16 bits.
    rounded = ((bits + threshold) & -65536).to(tl.float32, bitcast=True)
    offsets = row.to(tl.int64) * target_stride + column
    tl.store(target + offsets, rounded.to(target.dtype.element_ty), mask=inside)


def round_into(source: Float32[Tensor, "row column"], target: BFloat16[Tensor, "row column"]) -> None:
    """Triton form of `stochastic_rounding.round_into`."""
    rows, width = source.shape
    block = min(BLOCK, triton.next_power_of_2(width))
    grid = (rows, triton.cdiv(width, block))
    num_warps = 4 if block > 512 else 1
    _round[grid](source, target, source.stride(0), target.stride(0), width, block=block, num_warps=num_warps)
