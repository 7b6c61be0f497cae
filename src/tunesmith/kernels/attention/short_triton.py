"""Triton kernels of `short_attention` (after Dao 2023, "FlashAttention-2", algorithms 1 and 2). Imported only where a
GPU is.

Within a segment, rows are counted from its first token. Scores are kept in powers of two: exp2 is what a GPU has.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from tunesmith.kernels.attention.short import BLOCK, Gradients, room_for_gradients

_LOG2_E = tl.constexpr(1.4426950408889634)


class Saved(NamedTuple):
    """What the backward pass needs."""

    query: Tensor
    key: Tensor
    value: Tensor
    out: Tensor
    """(token, head, width), row after row."""
    sums: Tensor
    """(head, token), with room for a multiple of 16 tokens: logarithm, to base 2, of what a row of weights was divided
    by."""


# What checks signatures in tests would hide the source that Triton compiles.
@triton.jit
@no_type_check
def _rows(matrix, rows, size, stride, width: tl.constexpr, padded: tl.constexpr):
    """Rows of a matrix; zeros where it has none."""
    columns = tl.arange(0, padded)
    inside = (rows < size)[:, None] & (columns < width)[None, :]
    return tl.load(matrix + rows[:, None] * stride + columns[None, :], mask=inside, other=0.0)


@triton.jit
@no_type_check
def _put_rows(matrix, rows, size, stride, values, width: tl.constexpr, padded: tl.constexpr):
    columns = tl.arange(0, padded)
    inside = (rows < size)[:, None] & (columns < width)[None, :]
    place = matrix + rows[:, None] * stride + columns[None, :]
    tl.store(place, values.to(matrix.dtype.element_ty), mask=inside)


@triton.jit
@no_type_check
def _block(table, number):
    """Where a block's segment begins, how long it is, and how far into it the block begins."""
    place = table + number * 3
    return tl.load(place).to(tl.int64), tl.load(place + 1), tl.load(place + 2)


@triton.jit
@no_type_check
def _forward(
    query, key, value, out, sums, table, line, scale,
    query_row, query_head, key_row, key_head, value_row, value_head,
    heads: tl.constexpr, group: tl.constexpr, width: tl.constexpr, padded: tl.constexpr,
    block: tl.constexpr, causal: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(0) % heads
    start, size, offset = _block(table, tl.program_id(0) // heads)
    query += start * query_row + head * query_head
    key += start * key_row + (head // group) * key_head
    value += start * value_row + (head // group) * value_head
    rows = offset + tl.arange(0, block)
    asking = _rows(query, rows, size, query_row, width, padded)
    best = tl.full([block], float("-inf"), tl.float32)
    total = tl.zeros([block], tl.float32)
    gathered = tl.zeros([block, padded], tl.float32)
    end = tl.minimum(offset + block, size) if causal else size
    for at in range(0, end, block):
        others = at + tl.arange(0, block)
        keys = _rows(key, others, size, key_row, width, padded)
        scores = tl.dot(asking, tl.trans(keys)) * (scale * _LOG2_E)
        seen = others[None, :] <= rows[:, None] if causal else (others < size)[None, :]
        scores = tl.where(seen, scores, float("-inf"))
        highest = tl.maximum(best, tl.max(scores, axis=1))
        weights = tl.exp2(scores - highest[:, None])
        shrunk = tl.exp2(best - highest)
        total = total * shrunk + tl.sum(weights, axis=1)
        values = _rows(value, others, size, value_row, width, padded)
        gathered = tl.dot(weights.to(values.dtype), values, gathered * shrunk[:, None])
        best = highest
    tl.store(sums + head.to(tl.int64) * line + start + rows, best + tl.log2(total), mask=rows < size)
    out += (start * heads + head) * width
    _put_rows(out, rows, size, heads * width, gathered / total[:, None], width, padded)


@triton.jit
@no_type_check
def _through_keys(
    query, key, value, out, gradient, sums, of_query, of_key, of_value, size, offset, scale,
    query_row, query_head, key_row, value_row, gradient_row, gradient_head, line,
    heads: tl.constexpr, group: tl.constexpr, width: tl.constexpr, padded: tl.constexpr,
    block: tl.constexpr, step: tl.constexpr, causal: tl.constexpr, alone: tl.constexpr,
):  # fmt: skip
    """Gradients of a block's keys and values: sums over all queries that see them, of all heads that share them.
    Scores are turned over: a row is a key, a column a query. Of a segment of one block, all keys of a query are here,
    and so its gradients can be had too."""
    others = offset + tl.arange(0, block)
    keys = _rows(key, others, size, key_row, width, padded)
    values = _rows(value, others, size, value_row, width, padded)
    key_sum = tl.zeros([block, padded], tl.float32)
    value_sum = tl.zeros([block, padded], tl.float32)
    out_row = heads * width
    for member in range(group):
        for at in range(offset if causal else 0, size, step):
            rows = at + tl.arange(0, step)
            asking = _rows(query + member * query_head, rows, size, query_row, width, padded)
            arriving = _rows(gradient + member * gradient_head, rows, size, gradient_row, width, padded)
            if not alone:
                given = _rows(out + member * width, rows, size, out_row, width, padded)
                along = tl.sum(given.to(tl.float32) * arriving.to(tl.float32), axis=1)
            total = tl.load(sums + member * line + rows, mask=rows < size, other=0.0)
            scores = tl.dot(keys, tl.trans(asking)) * (scale * _LOG2_E)
            seen = others[:, None] <= rows[None, :] if causal else (others < size)[:, None]
            weights = tl.where(seen, tl.exp2(scores - total[None, :]), 0.0)
            value_sum = tl.dot(weights.to(arriving.dtype), arriving, value_sum)
            of_weights = tl.dot(values, tl.trans(arriving))
            if alone:
                along = tl.sum(weights * of_weights, axis=0)
            of_scores = (weights * (of_weights - along[None, :])).to(keys.dtype)
            key_sum = tl.dot(of_scores, asking, key_sum)
            if alone:
                found = tl.dot(tl.trans(of_scores), keys) * scale
                _put_rows(of_query + member * width, rows, size, out_row, found, width, padded)
    kept_row = heads // group * width
    _put_rows(of_key, others, size, kept_row, key_sum * scale, width, padded)
    _put_rows(of_value, others, size, kept_row, value_sum, width, padded)


@triton.jit
@no_type_check
def _through_queries(
    query, key, value, out, gradient, sums, of_query, size, offset, scale,
    query_row, key_row, value_row, gradient_row,
    heads: tl.constexpr, width: tl.constexpr, padded: tl.constexpr,
    block: tl.constexpr, causal: tl.constexpr,
):  # fmt: skip
    """Gradients of a block's queries: sums over all keys that they see."""
    rows = offset + tl.arange(0, block)
    asking = _rows(query, rows, size, query_row, width, padded)
    arriving = _rows(gradient, rows, size, gradient_row, width, padded)
    given = _rows(out, rows, size, heads * width, width, padded)
    along = tl.sum(given.to(tl.float32) * arriving.to(tl.float32), axis=1)
    total = tl.load(sums + rows, mask=rows < size, other=0.0)
    query_sum = tl.zeros([block, padded], tl.float32)
    end = tl.minimum(offset + block, size) if causal else size
    for at in range(0, end, block):
        others = at + tl.arange(0, block)
        keys = _rows(key, others, size, key_row, width, padded)
        values = _rows(value, others, size, value_row, width, padded)
        scores = tl.dot(asking, tl.trans(keys)) * (scale * _LOG2_E)
        seen = others[None, :] <= rows[:, None] if causal else (others < size)[None, :]
        weights = tl.where(seen, tl.exp2(scores - total[:, None]), 0.0)
        of_weights = tl.dot(arriving, tl.trans(values))
        of_scores = (weights * (of_weights - along[:, None])).to(keys.dtype)
        query_sum = tl.dot(of_scores, keys, query_sum)
    _put_rows(of_query, rows, size, heads * width, query_sum * scale, width, padded)


@triton.jit
@no_type_check
def _backward(
    query, key, value, out, gradient, sums, of_query, of_key, of_value, table, line, scale,
    query_row, query_head, key_row, key_head, value_row, value_head, gradient_row, gradient_head,
    heads: tl.constexpr, group: tl.constexpr, width: tl.constexpr, padded: tl.constexpr,
    block: tl.constexpr, step: tl.constexpr, causal: tl.constexpr, alone: tl.constexpr,
):  # fmt: skip
    """Programs for keys and for queries of one block stand side by side: they read the same."""
    kept: tl.constexpr = heads // group
    programs: tl.constexpr = kept if alone else kept + heads
    number = tl.program_id(0) % programs
    start, size, offset = _block(table, tl.program_id(0) // programs)
    for_keys = number < kept
    shared = number if for_keys else (number - kept) // group
    head = number * group if for_keys else number - kept
    query += start * query_row + head * query_head
    gradient += start * gradient_row + head * gradient_head
    key += start * key_row + shared * key_head
    value += start * value_row + shared * value_head
    out += (start * heads + head) * width
    of_query += (start * heads + head) * width
    sums += head.to(tl.int64) * line + start
    if for_keys:
        of_key += (start * kept + shared) * width
        of_value += (start * kept + shared) * width
        _through_keys(
            query, key, value, out, gradient, sums, of_query, of_key, of_value, size, offset, scale,
            query_row, query_head, key_row, value_row, gradient_row, gradient_head, line,
            heads, group, width, padded, block, step, causal, alone,
        )  # fmt: skip
    else:
        _through_queries(
            query, key, value, out, gradient, sums, of_query, size, offset, scale,
            query_row, key_row, value_row, gradient_row, heads, width, padded, block, causal,
        )  # fmt: skip


WARPS = 4
"""Of a program: a block of 64 rows is what four warps multiply at once; of more, each would repeat the same."""
STEP = 32
"""Queries that a program for keys looks at once: with 64, two sums of a head's width beside them fill more registers
than there are."""
STAGES = 1
"""Tiles that are on their way at once: what is fetched ahead takes the room of other programs."""
REGISTERS = 160
"""Of a thread in the forward pass on a Hopper GPU: its compiler takes 175 for heads of 128, needs 160, and with those
three programs run side by side instead of two."""


def forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    blocks: Tensor,
    scale: float,
    causal: bool,
    out: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """What comes out, (token, head, width), and the logarithms of the sums. Where it is known where to write, only
    rows of the blocks are written."""
    _, heads, tokens, width = query.shape
    out = query.new_empty(tokens, heads, width) if out is None else out
    # A kernel is compiled anew for lengths that 16 does not divide, and for those that it does.
    sums = query.new_empty(heads, triton.cdiv(tokens, 16) * 16, dtype=torch.float32)
    kernel: Any = _forward[(len(blocks) * heads,)]
    kernel(
        query, key, value, out, sums, blocks, sums.stride(0), scale,
        query.stride(2), query.stride(1), key.stride(2), key.stride(1), value.stride(2), value.stride(1),
        heads=heads, group=heads // key.shape[1], width=width, padded=_padded(width), block=BLOCK,
        causal=causal, num_warps=WARPS, num_stages=STAGES,
        maxnreg=REGISTERS if _is_hopper(query.device) else None,
    )  # fmt: skip
    return out, sums


def backward(
    gradient: Tensor,
    saved: Saved,
    blocks: Tensor,
    longest: int,
    scale: float,
    causal: bool,
    found: Gradients | None = None,
) -> Gradients:
    """All gradients; of `found`, only rows of the blocks are written."""
    query, key, value, out, sums = saved
    gradient = gradient if gradient.stride(2) == 1 else gradient.contiguous()
    _, heads, width = out.shape
    kept, alone = key.shape[1], longest <= BLOCK
    found = found or room_for_gradients(out, kept)
    kernel: Any = _backward[(len(blocks) * (kept if alone else kept + heads),)]
    kernel(
        query, key, value, out, gradient, sums, *found, blocks, sums.stride(0), scale,
        query.stride(2), query.stride(1), key.stride(2), key.stride(1), value.stride(2), value.stride(1),
        gradient.stride(0), gradient.stride(1),
        heads=heads, group=heads // kept, width=width, padded=_padded(width), block=BLOCK,
        step=STEP, causal=causal, alone=alone, num_warps=WARPS, num_stages=STAGES,
    )  # fmt: skip
    return found


@lru_cache
def _is_hopper(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device)[0] == 9


def _padded(width: int) -> int:
    """Columns of a tile: a power of two that a product takes."""
    return max(16, triton.next_power_of_2(width))
