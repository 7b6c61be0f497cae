"""Triton kernels of `rms_norm` (see there for the mathematics).

Layout: x, grad_output and the results are contiguous (token, width) matrices.

Forward and grad_x need sums over a row, so one program holds a row in registers (`block` is the width rounded up to
a power of two; wide rows get more warps) and reads each number once. The weight's gradient sums over tokens instead:
one program takes a strip of 64 columns over 4 tiles of 64 rows and writes the strip's partial sums. The partial sums
are added by a second kernel in a fixed order; atomic additions would give other last bits in every run.
"""

from __future__ import annotations

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE_ROWS, TILE_COLUMNS, NUM_TILES, STAGES = 64, 64, 4, 3
"""Tile of the weight's gradient, tiles below each other in one program, and how many are loaded ahead."""


# The run-time checks of signatures in tests would hide the source that Triton compiles.
@triton.jit
@no_type_check
def _rms_norm(x, weight, out, rstd, width, eps, block: tl.constexpr):
    """Normalise one row. Inputs: x (token, width), weight (width,). Written: out like x, rstd (token,) in fp32."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, block)
    inside = column < width
    loaded = tl.load(x + row * width + column, mask=inside, other=0.0)
    wide = loaded.to(tl.float32)
    scale = tl.rsqrt(tl.sum(wide * wide, axis=0) / width + eps)
    unit = (wide * scale).to(loaded.dtype).to(tl.float32)
    weights = tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * width + column, (unit * weights).to(loaded.dtype), mask=inside)
    tl.store(rstd + row, scale)


@triton.jit
@no_type_check
def _rms_norm_backward(grad_output, x, rstd, weight, grad_residual, grad_x, width, block: tl.constexpr):
    """Compute one row of grad_x and add the residual's gradient.

    Inputs: grad_output, x and grad_residual (token, width), rstd (token,) in fp32, weight (width,). Written: grad_x in
    the dtype of x.
    """
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, block)
    inside = column < width
    offsets = row * width + column
    scale = tl.load(rstd + row)
    loaded = tl.load(x + offsets, mask=inside, other=0.0)
    unit = loaded.to(tl.float32) * scale
    weights = tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    weighted = tl.load(grad_output + offsets, mask=inside, other=0.0).to(tl.float32) * weights
    mean = tl.sum(weighted * unit, axis=0) / width
    residual = tl.load(grad_residual + offsets, mask=inside, other=0.0).to(tl.float32)
    tl.store(grad_x + offsets, ((weighted - unit * mean) * scale + residual).to(loaded.dtype), mask=inside)


@triton.jit
@no_type_check
def _rms_norm_weight_grad(
    grad_output, x, rstd, partial, tokens, width,
    num_rows: tl.constexpr, num_columns: tl.constexpr, num_tiles: tl.constexpr, stages: tl.constexpr,
):  # fmt: skip
    """Sum grad_output * x * rstd over `num_tiles` tiles below each other.

    Inputs: grad_output and x (token, width), rstd (token,) in fp32. Written: the program's strip of one row of
    `partial` (programs, width) in fp32.
    """
    columns = tl.program_id(0) * num_columns + tl.arange(0, num_columns)
    first = tl.program_id(1) * num_rows * num_tiles
    total = tl.zeros((num_columns,), dtype=tl.float32)
    for tile in tl.range(num_tiles, num_stages=stages):
        rows = (first + tile * num_rows + tl.arange(0, num_rows)).to(tl.int64)
        offsets = rows[:, None] * width + columns[None, :]
        inside = (rows[:, None] < tokens) & (columns[None, :] < width)
        scale = tl.load(rstd + rows, mask=rows < tokens, other=0.0)[:, None]
        unit = tl.load(x + offsets, mask=inside, other=0.0).to(tl.float32) * scale
        total += tl.sum(tl.load(grad_output + offsets, mask=inside, other=0.0).to(tl.float32) * unit, axis=0)
    tl.store(partial + tl.program_id(1) * width + columns, total, mask=columns < width)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Triton form of `rms_norm.rms_norm`."""
    tokens, width = x.shape
    out, rstd = torch.empty_like(x), x.new_empty(tokens, dtype=torch.float32)
    block = triton.next_power_of_2(width)
    _rms_norm[(tokens,)](x, weight, out, rstd, width, eps, block=block, num_warps=_num_warps(block))
    return out, rstd


def rms_norm_backward(
    grad_output: Tensor, x: Tensor, rstd: Tensor, weight: Tensor, grad_residual: Tensor
) -> Tensor:
    """Triton form of `rms_norm.rms_norm_backward`."""
    tokens, width = x.shape
    grad_x, block = torch.empty_like(x), triton.next_power_of_2(width)
    _rms_norm_backward[(tokens,)](
        grad_output, x, rstd, weight, grad_residual.contiguous(), grad_x, width,
        block=block, num_warps=_num_warps(block),
    )  # fmt: skip
    return grad_x


def rms_norm_weight_grad(grad_output: Tensor, x: Tensor, rstd: Tensor) -> Tensor:
    """Triton form of `rms_norm.rms_norm_weight_grad`."""
    tokens, width = x.shape
    programs = triton.cdiv(tokens, TILE_ROWS * NUM_TILES)
    partial = rstd.new_empty(programs, width)
    _rms_norm_weight_grad[(triton.cdiv(width, TILE_COLUMNS), programs)](
        grad_output, x, rstd, partial, tokens, width,
        num_rows=TILE_ROWS, num_columns=TILE_COLUMNS, num_tiles=NUM_TILES, stages=STAGES,
    )  # fmt: skip
    return partial.sum(0)


def _num_warps(block: int) -> int:
    return 16 if block >= 8192 else 8 if block >= 2048 else 4
