"""Kernels for a GPU: rows cast to 8 bits with their scales in one pass, and an 8-bit matrix transposed."""

from __future__ import annotations

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Float32, Num
from torch import Tensor

from tunesmith.precision.fp8_cast import LEAST

TILE = 128
_LEAST = tl.constexpr(LEAST)


# What checks signatures in tests would hide the source that Triton compiles.
@triton.jit
@no_type_check
def _cast_row(
    rows, factor, small, scales, stride, width, filled, largest, block: tl.constexpr
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, block)
    values = tl.load(rows + row * stride + columns, mask=columns < width, other=0.0).to(tl.float32)
    if factor is not None:
        values = values * tl.load(factor + columns, mask=columns < width, other=0.0)
    peak = tl.maximum(tl.max(tl.abs(values), axis=0), _LEAST)
    tl.store(scales + row, peak / largest)
    cast = (values * (largest / peak)).to(small.dtype.element_ty)
    tl.store(small + row * filled + columns, cast, mask=columns < filled)


@triton.jit
@no_type_check
def _transpose_tile(matrix, out, num_rows, num_columns, side: tl.constexpr):
    rows = tl.program_id(0) * side + tl.arange(0, side)
    columns = tl.program_id(1) * side + tl.arange(0, side)
    inside = (rows[:, None] < num_rows) & (columns[None, :] < num_columns)
    tile = tl.load(matrix + rows.to(tl.int64)[:, None] * num_columns + columns[None, :], mask=inside, other=0)
    place = out + columns.to(tl.int64)[:, None] * num_rows + rows[None, :]
    inside = (columns[:, None] < num_columns) & (rows[None, :] < num_rows)
    tl.store(place, tl.trans(tile), mask=inside)


def cast_rows(
    rows: Float[Tensor, "row width"],
    dtype: torch.dtype,
    factor: Float32[Tensor, " width"] | None,
    filled: int,
) -> tuple[Num[Tensor, "row filled"], Float32[Tensor, "row 1"]]:
    """The rows in 8 bits, `filled` values wide with zeros at their ends, and their scales."""
    rows = rows if rows.stride(1) == 1 else rows.contiguous()
    number, width = rows.shape
    small = torch.empty(number, filled, dtype=dtype, device=rows.device)
    scales = torch.empty(number, 1, dtype=torch.float32, device=rows.device)
    block = triton.next_power_of_2(filled)
    kernel: Any = _cast_row[(number,)]
    if number:
        kernel(
            rows, factor, small, scales, rows.stride(0), width, filled, torch.finfo(dtype).max, block=block,
            num_warps=min(max(block // 512, 4), 32),
        )  # fmt: skip
    return small, scales


def transposed(matrix: Num[Tensor, "row column"]) -> Num[Tensor, "column row"]:
    """A copy with rows and columns exchanged."""
    out = torch.empty(matrix.shape[::-1], dtype=matrix.dtype, device=matrix.device)
    num_rows, num_columns = matrix.shape
    grid = (triton.cdiv(num_rows, TILE), triton.cdiv(num_columns, TILE))
    kernel: Any = _transpose_tile[grid]
    kernel(matrix.view(torch.uint8), out.view(torch.uint8), num_rows, num_columns, side=TILE, num_warps=8)
    return out
