"""Triton kernels of `fp8_cast` (see there for the scaling rule): the row-wise cast, and a transposition of bytes.

Both are limited by memory. The cast needs a row's largest value before it can round the first one, so a program holds a
whole row in registers and reads it once; rows up to 65,536 wide fit, with up to 32 warps. The transposition moves tiles
of 128 x 128 bytes through shared memory, so that both reads and writes are full cache lines of 128 bytes.
"""

from __future__ import annotations

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Float32, Num
from torch import Tensor

TILE = 128
_MIN_PEAK = tl.constexpr(1e-30)
"""The same as in `fp8_cast`; a test compares both forms on rows of zeros."""


# The run-time checks of signatures in tests would hide the source that Triton compiles.
@triton.jit
@no_type_check
def _cast_row(
    x, factor, small, scales, stride, width, padded_width, largest, block: tl.constexpr
):  # fmt: skip
    """Cast one row.

    Inputs: x (row, width) with row stride `stride`; factor (width,) in fp32 or None; the `largest` value of the
    8-bit dtype. Written: small (row, padded_width), contiguous, with zeros behind the width, and scales (row,)
    in fp32.
    """
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, block)
    values = tl.load(x + row * stride + columns, mask=columns < width, other=0.0).to(tl.float32)
    if factor is not None:
        values = values * tl.load(factor + columns, mask=columns < width, other=0.0)
    peak = tl.maximum(tl.max(tl.abs(values), axis=0), _MIN_PEAK)
    tl.store(scales + row, peak / largest)
    cast = (values * (largest / peak)).to(small.dtype.element_ty)
    tl.store(small + row * padded_width + columns, cast, mask=columns < padded_width)


@triton.jit
@no_type_check
def _transpose_tile(matrix, out, num_rows, num_columns, side: tl.constexpr):
    """Transpose one tile of bytes. Input: matrix (row, column). Written: out (column, row); both contiguous."""
    rows = tl.program_id(0) * side + tl.arange(0, side)
    columns = tl.program_id(1) * side + tl.arange(0, side)
    inside = (rows[:, None] < num_rows) & (columns[None, :] < num_columns)
    tile = tl.load(matrix + rows.to(tl.int64)[:, None] * num_columns + columns[None, :], mask=inside, other=0)
    offsets = columns.to(tl.int64)[:, None] * num_rows + rows[None, :]
    inside = (columns[:, None] < num_columns) & (rows[None, :] < num_rows)
    tl.store(out + offsets, tl.trans(tile), mask=inside)


def cast_rows(
    x: Float[Tensor, "row width"],
    dtype: torch.dtype,
    factor: Float32[Tensor, " width"] | None,
    padded_width: int,
) -> tuple[Num[Tensor, "row padded_width"], Float32[Tensor, "row 1"]]:
    """Triton form of `fp8_cast.cast_rows`."""
    x = x if x.stride(1) == 1 else x.contiguous()
    num_rows, width = x.shape
    small = torch.empty(num_rows, padded_width, dtype=dtype, device=x.device)
    scales = torch.empty(num_rows, 1, dtype=torch.float32, device=x.device)
    block = triton.next_power_of_2(padded_width)
    kernel: Any = _cast_row[(num_rows,)]
    if num_rows:
        kernel(
            x, factor, small, scales, x.stride(0), width, padded_width, torch.finfo(dtype).max, block=block,
            num_warps=min(max(block // 512, 4), 32),
        )  # fmt: skip
    return small, scales


def transposed(matrix: Num[Tensor, "row column"]) -> Num[Tensor, "column row"]:
    """Triton form of `fp8_cast.transposed`."""
    out = torch.empty(matrix.shape[::-1], dtype=matrix.dtype, device=matrix.device)
    num_rows, num_columns = matrix.shape
    grid = (triton.cdiv(num_rows, TILE), triton.cdiv(num_columns, TILE))
    kernel: Any = _transpose_tile[grid]
    kernel(matrix.view(torch.uint8), out.view(torch.uint8), num_rows, num_columns, side=TILE, num_warps=8)
    return out
