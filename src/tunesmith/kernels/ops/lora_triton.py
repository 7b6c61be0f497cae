"""Triton kernel of `add_lora`, and what it shares with the kernels of `swiglu`.

Layout: x, the residual and the output are contiguous (token, width) matrices. `inner` is (token, rank) and may be a
slice of a wider matrix (row stride `inner_stride`); B is (width, rank), likewise with a row stride.

A program computes tiles of 64 tokens by 64 outputs. The kernels are limited by memory, not arithmetic: small tiles
leave enough registers for several warps per multiprocessor, which keep loads in flight. With ranks up to 32 a program
takes several tiles next to each other, keeps its rows of `inner` in registers for all of them and loads the next tiles
while it computes (software pipelining, `stages`). Larger ranks leave no registers for that: one tile per program.

Ranks are padded with zeros to a power of two of at least 16, the smallest operand of the tensor cores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, no_type_check

import triton
import triton.language as tl
from torch import Tensor

if TYPE_CHECKING:
    from tunesmith.kernels.ops.lora import LoraUpdate


TILE_ROWS, TILE_COLUMNS = 64, 64
NUM_TILES = 2
"""Tiles next to each other in one program, for ranks up to `MAX_PIPELINED_RANK`."""
STAGES = 3
"""Tiles in flight: while one is computed, the next ones are loaded."""
MAX_PIPELINED_RANK = 32


# The run-time checks of signatures in tests would hide the source that Triton compiles.
@triton.jit
@no_type_check
def load_inner(inner, ranks, rows, stride, rank, tokens):
    """Load a (rows, ranks) tile of inner (token, rank); zero outside of it."""
    inside = (rows[:, None] < tokens) & (ranks[None, :] < rank)
    return tl.load(inner + rows[:, None] * stride + ranks[None, :], mask=inside, other=0.0)


@triton.jit
@no_type_check
def load_matrix(matrix, ranks, columns, rank_stride, column_stride, rank, width):
    """Load a (ranks, columns) tile of an adapter's matrix with these strides; zero outside of it."""
    offsets = ranks[:, None] * rank_stride + columns[None, :] * column_stride
    inside = (ranks[:, None] < rank) & (columns[None, :] < width)
    return tl.load(matrix + offsets, mask=inside, other=0.0)


@triton.jit
@no_type_check
def _add_lora(
    x, residual, out, tokens, width, inner, lora_b, inner_stride, lora_b_stride,
    first_end, second_end, first_rank, second_rank, rank,
    padded_rank: tl.constexpr, has_residual: tl.constexpr, num_rows: tl.constexpr, num_columns: tl.constexpr,
    num_tiles: tl.constexpr, stages: tl.constexpr,
):  # fmt: skip
    """Compute `num_tiles` tiles of x + inner B^T + residual.

    Inputs: x and residual (token, width), inner (token, rank), lora_b (width, rank) in the dtype of x. B has up to
    three diagonal blocks: outputs below `first_end` use ranks below `first_rank`, and so on; `rank` is the end of the
    last. `padded_rank` is the padded rank of the largest block, 0 for no update. Written: out, which may be x.
    """
    rows = (tl.program_id(1) * num_rows + tl.arange(0, num_rows)).to(tl.int64)
    for tile in tl.range(num_tiles, num_stages=stages):
        begin = (tl.program_id(0) * num_tiles + tile) * num_columns
        columns = begin + tl.arange(0, num_columns)
        inside = (rows[:, None] < tokens) & (columns[None, :] < width)
        offsets = rows[:, None] * width + columns[None, :]
        loaded = tl.load(x + offsets, mask=inside, other=0.0)
        total = loaded.to(tl.float32)
        if padded_rank > 0:
            # A tile lies within a single block (see `_block_ends`).
            low = tl.where(begin < first_end, 0, tl.where(begin < second_end, first_rank, second_rank))
            high = tl.where(begin < first_end, first_rank, tl.where(begin < second_end, second_rank, rank))
            ranks = low + tl.arange(0, padded_rank)
            left = load_inner(inner, ranks, rows, inner_stride, high, tokens)
            total += tl.dot(left, load_matrix(lora_b, ranks, columns, 1, lora_b_stride, high, width))
        if has_residual:
            total += tl.load(residual + offsets, mask=inside, other=0.0).to(tl.float32)
        tl.store(out + offsets, total.to(loaded.dtype), mask=inside)


def add_lora(x: Tensor, update: LoraUpdate | None, residual: Tensor | None) -> Tensor:
    """Triton form of `lora.add_lora`; overwrites `x`."""
    tokens, width = x.shape
    ends, largest = _block_ends(update)
    is_pipelined = largest <= MAX_PIPELINED_RANK
    num_tiles = NUM_TILES if is_pipelined else 1
    grid = (triton.cdiv(width, TILE_COLUMNS * num_tiles), triton.cdiv(tokens, TILE_ROWS))
    if update is None:
        operands: tuple[Any, ...] = (x, x, 0, 0)  # Never read.
    else:
        operands = (update.inner, update.lora_B, update.inner.stride(0), update.lora_B.stride(0))
    _add_lora[grid](
        x, x if residual is None else residual, x, tokens, width, *operands, *ends,
        padded_rank=padded_rank(largest), has_residual=residual is not None,
        **tile_options(num_tiles, is_pipelined),
    )  # fmt: skip
    return x


def _block_ends(update: LoraUpdate | None) -> tuple[tuple[int, ...], int]:
    """Where the blocks of B end, by columns and by rank, and the largest rank of a block.

    All is a single block if there are more than three, or if a tile would lie in two of them.
    """
    if update is None:
        return (0,) * 5, 0
    rank, blocks = rank_of(update), update.blocks
    if not 1 < len(blocks) <= 3 or any(outputs % TILE_COLUMNS for outputs, _ in blocks):
        return (update.lora_B.shape[0], update.lora_B.shape[0], rank, rank, rank), rank
    blocks = (*blocks, (0, 0)) if len(blocks) == 2 else blocks
    (first, first_rank), (second, second_rank), _ = blocks
    ends = (first, first + second, first_rank, first_rank + second_rank, rank)
    return ends, max(block_rank for _, block_rank in blocks)


def tile_options(num_tiles: int, is_pipelined: bool) -> dict[str, int]:
    """Launch options for programs that take several tiles, pipelined or one after the other."""
    sizes = {"num_rows": TILE_ROWS, "num_columns": TILE_COLUMNS, "num_tiles": num_tiles}
    return sizes | ({"stages": STAGES, "num_warps": 4} if is_pipelined else {"stages": 1, "num_warps": 8})


def rank_of(update: LoraUpdate | None) -> int:
    """Rank of the update, 0 for none."""
    return update.lora_B.shape[1] if update else 0


def padded_rank(rank: int) -> int:
    """The next rank that the tensor cores take; 0 stays 0."""
    return max(16, triton.next_power_of_2(rank)) if rank else 0
