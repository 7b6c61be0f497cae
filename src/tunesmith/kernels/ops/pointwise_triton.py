"""Triton kernels of `fused`; see there for what each computes. Imported only where a GPU is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.graph import increment_version

if TYPE_CHECKING:
    from tunesmith.kernels.fusion.fused_linear import Copy
    from tunesmith.kernels.ops.pointwise import Added, Heads, Turning


# What checks signatures in tests would hide the source that Triton compiles.
@triton.jit
@no_type_check
def _norm(hidden, weight, out, factor, width, epsilon, block: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, block)
    inside = column < width
    loaded = tl.load(hidden + row * width + column, mask=inside, other=0.0)
    wide = loaded.to(tl.float32)
    scale = tl.rsqrt(tl.sum(wide * wide, axis=0) / width + epsilon)
    unit = (wide * scale).to(loaded.dtype).to(tl.float32)
    weights = tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * width + column, (unit * weights).to(loaded.dtype), mask=inside)
    tl.store(factor + row, scale)


@triton.jit
@no_type_check
def _norm_back(gradient, hidden, factor, weight, beside, out, width, block: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, block)
    inside = column < width
    place = row * width + column
    scale = tl.load(factor + row)
    loaded = tl.load(hidden + place, mask=inside, other=0.0)
    unit = loaded.to(tl.float32) * scale
    weights = tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    weighed = tl.load(gradient + place, mask=inside, other=0.0).to(tl.float32) * weights
    along = tl.sum(weighed * unit, axis=0) / width
    past = tl.load(beside + place, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + place, ((weighed - unit * along) * scale + past).to(loaded.dtype), mask=inside)


@triton.jit
@no_type_check
def _norm_weight_back(
    gradient, hidden, factor, part, tokens, width,
    num_rows: tl.constexpr, num_columns: tl.constexpr, num_tiles: tl.constexpr, ahead: tl.constexpr,
):  # fmt: skip
    columns = tl.program_id(0) * num_columns + tl.arange(0, num_columns)
    first = tl.program_id(1) * num_rows * num_tiles
    summed = tl.zeros((num_columns,), dtype=tl.float32)
    for tile in tl.range(num_tiles, num_stages=ahead):
        rows = (first + tile * num_rows + tl.arange(0, num_rows)).to(tl.int64)
        place = rows[:, None] * width + columns[None, :]
        inside = (rows[:, None] < tokens) & (columns[None, :] < width)
        scale = tl.load(factor + rows, mask=rows < tokens, other=0.0)[:, None]
        unit = tl.load(hidden + place, mask=inside, other=0.0).to(tl.float32) * scale
        summed += tl.sum(tl.load(gradient + place, mask=inside, other=0.0).to(tl.float32) * unit, axis=0)
    tl.store(part + tl.program_id(1) * width + columns, summed, mask=columns < width)


@triton.jit
@no_type_check
def _rank_tile(inner, ranks, rows, stride, rank, tokens):
    """A tile of what adapters' first products gave."""
    inside = (rows[:, None] < tokens) & (ranks[None, :] < rank)
    return tl.load(inner + rows[:, None] * stride + ranks[None, :], mask=inside, other=0.0)


@triton.jit
@no_type_check
def _all_ranks(inner, rows, stride, rank, tokens, padded: tl.constexpr):
    """All ranks of one adapter, and the rows of what its first product gave."""
    ranks = tl.arange(0, padded)
    return ranks, _rank_tile(inner, ranks, rows, stride, rank, tokens)


@triton.jit
@no_type_check
def _matrix_tile(matrix, ranks, columns, rank_stride, column_stride, rank, width):
    """A tile of an adapter's matrix, its rank along the rows."""
    place = ranks[:, None] * rank_stride + columns[None, :] * column_stride
    inside = (ranks[:, None] < rank) & (columns[None, :] < width)
    return tl.load(matrix + place, mask=inside, other=0.0)


@triton.jit
@no_type_check
def _store_part(part, values, ranks, rows, rank, tokens):
    """Write what a program has summed to its rows."""
    inside = (rows[:, None] < tokens) & (ranks[None, :] < rank)
    tl.store(part + ranks[None, :], values, mask=inside)


@triton.jit
@no_type_check
def _sum(
    product, beside, out, tokens, width, inner, up, inner_stride, up_stride,
    first_end, second_end, first_rank, second_rank, rank,
    padded: tl.constexpr, has_beside: tl.constexpr, num_rows: tl.constexpr, num_columns: tl.constexpr,
    num_tiles: tl.constexpr, ahead: tl.constexpr,
):  # fmt: skip
    rows = (tl.program_id(1) * num_rows + tl.arange(0, num_rows)).to(tl.int64)
    for tile in tl.range(num_tiles, num_stages=ahead):
        begin = (tl.program_id(0) * num_tiles + tile) * num_columns
        columns = begin + tl.arange(0, num_columns)
        inside = (rows[:, None] < tokens) & (columns[None, :] < width)
        place = rows[:, None] * width + columns[None, :]
        loaded = tl.load(product + place, mask=inside, other=0.0)
        whole = loaded.to(tl.float32)
        if padded > 0:
            # A tile lies within one block, of up to three.
            low = tl.where(begin < first_end, 0, tl.where(begin < second_end, first_rank, second_rank))
            high = tl.where(begin < first_end, first_rank, tl.where(begin < second_end, second_rank, rank))
            ranks = low + tl.arange(0, padded)
            left = _rank_tile(inner, ranks, rows, inner_stride, high, tokens)
            whole += tl.dot(left, _matrix_tile(up, ranks, columns, 1, up_stride, high, width))
        if has_beside:
            whole += tl.load(beside + place, mask=inside, other=0.0).to(tl.float32)
        tl.store(out + place, whole.to(loaded.dtype), mask=inside)


@triton.jit
@no_type_check
def _gate(
    both, out, tokens, width,
    gate_inner, gate_up, gate_rank, up_inner, up_up, up_rank, inner_stride, up_stride,
    down, part, down_rank,
    gate_padded: tl.constexpr, up_padded: tl.constexpr, down_padded: tl.constexpr,
    num_rows: tl.constexpr, num_columns: tl.constexpr, num_tiles: tl.constexpr, ahead: tl.constexpr,
):  # fmt: skip
    rows = (tl.program_id(1) * num_rows + tl.arange(0, num_rows)).to(tl.int64)
    if gate_padded > 0:
        gate_ranks, gate_left = _all_ranks(gate_inner, rows, inner_stride, gate_rank, tokens, gate_padded)
    if up_padded > 0:
        up_ranks, up_left = _all_ranks(up_inner, rows, inner_stride, up_rank, tokens, up_padded)
    if down_padded > 0:
        down_ranks = tl.arange(0, down_padded)
        inner = tl.zeros((num_rows, down_padded), tl.float32)
    for tile in tl.range(num_tiles, num_stages=ahead):
        columns = (tl.program_id(0) * num_tiles + tile) * num_columns + tl.arange(0, num_columns)
        inside = (rows[:, None] < tokens) & (columns[None, :] < width)
        place = rows[:, None] * 2 * width + columns[None, :]
        loaded = tl.load(both + place, mask=inside, other=0.0)
        whole_gate = loaded.to(tl.float32)
        whole_up = tl.load(both + place + width, mask=inside, other=0.0).to(tl.float32)
        if gate_padded > 0:
            right = _matrix_tile(gate_up, gate_ranks, columns, 1, up_stride, gate_rank, width)
            whole_gate += tl.dot(gate_left, right)
        if up_padded > 0:
            right = _matrix_tile(up_up, up_ranks, columns, 1, up_stride, up_rank, width)
            whole_up += tl.dot(up_left, right)
        opened = (whole_gate * tl.sigmoid(whole_gate)).to(loaded.dtype).to(tl.float32)
        opened = (opened * whole_up).to(loaded.dtype)
        tl.store(out + rows[:, None] * width + columns[None, :], opened, mask=inside)
        if down_padded > 0:
            right = _matrix_tile(down, down_ranks, columns, width, 1, down_rank, width)
            inner += tl.dot(opened, tl.trans(right))
    if down_padded > 0:
        part += (tl.program_id(0).to(tl.int64) * tokens + rows[:, None]) * down_rank
        _store_part(part, inner, down_ranks, rows, down_rank, tokens)


@triton.jit
@no_type_check
def _gate_back(
    gradient, both, tokens, width,
    gate_inner, gate_up, gate_rank, up_inner, up_up, up_rank, inner_stride, up_stride,
    more_inner, more_down, more_rank, part,
    gate_padded: tl.constexpr, up_padded: tl.constexpr, more_padded: tl.constexpr, has_part: tl.constexpr,
    num_rows: tl.constexpr, num_columns: tl.constexpr, num_tiles: tl.constexpr, ahead: tl.constexpr,
):  # fmt: skip
    rows = (tl.program_id(1) * num_rows + tl.arange(0, num_rows)).to(tl.int64)
    if gate_padded > 0:
        gate_ranks, gate_left = _all_ranks(gate_inner, rows, inner_stride, gate_rank, tokens, gate_padded)
        of_gate_inner = tl.zeros((num_rows, gate_padded), tl.float32)
    if up_padded > 0:
        up_ranks, up_left = _all_ranks(up_inner, rows, inner_stride, up_rank, tokens, up_padded)
        of_up_inner = tl.zeros((num_rows, up_padded), tl.float32)
    if more_padded > 0:
        more_ranks, more_left = _all_ranks(more_inner, rows, more_rank, more_rank, tokens, more_padded)
    for tile in tl.range(num_tiles, num_stages=ahead):
        columns = (tl.program_id(0) * num_tiles + tile) * num_columns + tl.arange(0, num_columns)
        inside = (rows[:, None] < tokens) & (columns[None, :] < width)
        place = rows[:, None] * 2 * width + columns[None, :]
        loaded = tl.load(both + place, mask=inside, other=0.0)
        kind = loaded.dtype
        whole_gate = loaded.to(tl.float32)
        whole_up = tl.load(both + place + width, mask=inside, other=0.0).to(tl.float32)
        once = rows[:, None] * width + columns[None, :]
        whole = tl.load(gradient + once, mask=inside, other=0.0).to(tl.float32)
        if gate_padded > 0:
            gate_right = _matrix_tile(gate_up, gate_ranks, columns, 1, up_stride, gate_rank, width)
            whole_gate += tl.dot(gate_left, gate_right)
        if up_padded > 0:
            up_right = _matrix_tile(up_up, up_ranks, columns, 1, up_stride, up_rank, width)
            whole_up += tl.dot(up_left, up_right)
        if more_padded > 0:
            right = _matrix_tile(more_down, more_ranks, columns, width, 1, more_rank, width)
            whole += tl.dot(more_left, right)
        share = tl.sigmoid(whole_gate)
        opened = whole_gate * share
        of_up = (whole * opened).to(kind)
        of_gate = (whole * whole_up * share * (1 + whole_gate * (1 - share))).to(kind)
        tl.store(both + place, of_gate, mask=inside)
        tl.store(both + place + width, of_up, mask=inside)
        tl.store(gradient + once, (opened.to(kind).to(tl.float32) * whole_up).to(kind), mask=inside)
        if has_part:
            if gate_padded > 0:
                of_gate_inner += tl.dot(of_gate, tl.trans(gate_right))
            if up_padded > 0:
                of_up_inner += tl.dot(of_up, tl.trans(up_right))
    if has_part:
        part += (tl.program_id(0).to(tl.int64) * tokens + rows[:, None]) * (gate_rank + up_rank)
        if gate_padded > 0:
            _store_part(part, of_gate_inner, gate_ranks, rows, gate_rank, tokens)
        if up_padded > 0:
            _store_part(part + gate_rank, of_up_inner, up_ranks, rows, up_rank, tokens)


@triton.jit
@no_type_check
def _collect(part, out, size, number: tl.constexpr, block: tl.constexpr):
    place = tl.program_id(0) * block + tl.arange(0, block)
    inside = place < size
    whole = tl.zeros((block,), tl.float32)
    for _ in range(number):
        whole += tl.load(part + place, mask=inside, other=0.0)
        part += size
    tl.store(out + place, whole.to(out.dtype.element_ty), mask=inside)


@triton.jit
@no_type_check
def _norm_weight(query_weight, key_weight, head, column, queries, inside):
    """A tile's weights of the norms of queries and keys."""
    of_query = tl.load(query_weight + column + 0 * head, mask=inside & (head < queries), other=0.0)
    of_key = tl.load(key_weight + column + 0 * head, mask=inside & (head >= queries), other=0.0)
    return (of_query + of_key).to(tl.float32)


@triton.jit
@no_type_check
def _turn(
    rows, out, stride, out_stride, cosine, sine, query_weight, key_weight, queries, heads, epsilon,
    half: tl.constexpr, padded_half: tl.constexpr, padded_heads: tl.constexpr, has_norm: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    head = tl.arange(0, padded_heads)[:, None]
    column = tl.arange(0, padded_half)[None, :]
    inside = (head < heads) & (column < half)
    place = head * 2 * half + column
    loaded = tl.load(rows + token * stride + place, mask=inside, other=0.0)
    first = loaded.to(tl.float32)
    second = tl.load(rows + token * stride + place + half, mask=inside, other=0.0).to(tl.float32)
    kind = loaded.dtype
    if has_norm:
        squares = tl.sum(first * first, axis=1) + tl.sum(second * second, axis=1)
        factor = tl.rsqrt(squares / (2 * half) + epsilon)[:, None]
        low = _norm_weight(query_weight, key_weight, head, column, queries, inside)
        high = _norm_weight(query_weight + half, key_weight + half, head, column, queries, inside)
        first = ((first * factor).to(kind).to(tl.float32) * low).to(kind).to(tl.float32)
        second = ((second * factor).to(kind).to(tl.float32) * high).to(kind).to(tl.float32)
    at = token * 2 * half + column
    in_half = column < half
    low_cosine = tl.load(cosine + at, mask=in_half, other=0.0).to(tl.float32)
    low_sine = tl.load(sine + at, mask=in_half, other=0.0).to(tl.float32)
    high_cosine = tl.load(cosine + at + half, mask=in_half, other=0.0).to(tl.float32)
    high_sine = tl.load(sine + at + half, mask=in_half, other=0.0).to(tl.float32)
    first_out = first * low_cosine - second * low_sine
    second_out = second * high_cosine + first * high_sine
    tl.store(out + token * out_stride + place, first_out.to(kind), mask=inside)
    tl.store(out + token * out_stride + place + half, second_out.to(kind), mask=inside)


@triton.jit
@no_type_check
def _store_shares(shares, parts, at, half, is_query, in_half):
    """A token's part of the gradients of both norms' weights: of queries, and after all tokens' those of keys."""
    of_query = tl.sum(tl.where(is_query, shares, 0.0), axis=0)[None, :]
    of_key = tl.sum(tl.where(is_query, 0.0, shares), axis=0)[None, :]
    tl.store(parts + at, of_query, mask=in_half)
    tl.store(parts + tl.num_programs(0) * 2 * half + at, of_key, mask=in_half)


@triton.jit
@no_type_check
def _turn_back(
    of_queries, of_keys, of_values, rows, out, query_stride, key_stride, value_stride, stride, out_stride,
    cosine, sine, query_weight, key_weight, parts, queries, keys, epsilon,
    half: tl.constexpr, padded_half: tl.constexpr, padded_heads: tl.constexpr, has_norm: tl.constexpr,
    of_weights: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    head = tl.arange(0, padded_heads)[:, None]
    column = tl.arange(0, padded_half)[None, :]
    inside = (head < queries + keys) & (column < half)
    is_query = head < queries
    query = of_queries + token * query_stride + head * 2 * half + column
    key = of_keys + token * key_stride + (head - queries) * 2 * half + column
    loaded = tl.load(query, mask=inside & is_query, other=0.0) + tl.load(
        key, mask=inside & (head >= queries), other=0.0
    )
    first = loaded.to(tl.float32)
    second = tl.load(query + half, mask=inside & is_query, other=0.0).to(tl.float32)
    second += tl.load(key + half, mask=inside & (head >= queries), other=0.0).to(tl.float32)
    kind = loaded.dtype
    at = token * 2 * half + column
    in_half = column < half
    low_cosine = tl.load(cosine + at, mask=in_half, other=0.0).to(tl.float32)
    low_sine = tl.load(sine + at, mask=in_half, other=0.0).to(tl.float32)
    high_cosine = tl.load(cosine + at + half, mask=in_half, other=0.0).to(tl.float32)
    high_sine = tl.load(sine + at + half, mask=in_half, other=0.0).to(tl.float32)
    of_first = first * low_cosine + second * high_sine
    of_second = second * high_cosine - first * low_sine
    place = head * 2 * half + column
    if has_norm:
        low = tl.load(rows + token * stride + place, mask=inside, other=0.0).to(tl.float32)
        high = tl.load(rows + token * stride + place + half, mask=inside, other=0.0).to(tl.float32)
        squares = tl.sum(low * low, axis=1) + tl.sum(high * high, axis=1)
        factor = tl.rsqrt(squares / (2 * half) + epsilon)[:, None]
        low = low * factor
        high = high * factor
        if of_weights:
            at = token * 2 * half + column
            _store_shares(of_first * low, parts, at, half, is_query, in_half)
            _store_shares(of_second * high, parts, at + half, half, is_query, in_half)
        of_first = of_first * _norm_weight(query_weight, key_weight, head, column, queries, inside)
        of_second = of_second * _norm_weight(
            query_weight + half, key_weight + half, head, column, queries, inside
        )
        along = tl.sum(of_first * low, axis=1) + tl.sum(of_second * high, axis=1)
        along = (along / (2 * half))[:, None]
        of_first = (of_first - low * along) * factor
        of_second = (of_second - high * along) * factor
    tl.store(out + token * out_stride + place, of_first.to(kind), mask=inside)
    tl.store(out + token * out_stride + place + half, of_second.to(kind), mask=inside)
    # Values only move to their place beside the others.
    value = keys * 2 * half
    wide = tl.arange(0, padded_heads)[:, None] * 2 * half + column
    there = (wide < value) & (column < half)
    for part in tl.static_range(2):
        moved = tl.load(of_values + token * value_stride + wide + part * half, mask=there, other=0.0)
        at_end = (queries + keys) * 2 * half
        tl.store(out + token * out_stride + at_end + wide + part * half, moved, mask=there)


@triton.jit
@no_type_check
def _nats(logits, targets, out, logarithms, stride, width, block: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    logits += row * stride
    highest = float("-inf")
    total = 0.0
    for start in tl.range(0, width, block):
        column = start + tl.arange(0, block)
        values = tl.load(logits + column, mask=column < width, other=float("-inf")).to(tl.float32)
        higher = tl.maximum(highest, tl.max(values, axis=0))
        total = total * tl.exp(highest - higher) + tl.sum(tl.exp(values - higher), axis=0)
        highest = higher
    logarithm = highest + tl.log(total)
    tl.store(logarithms + row, logarithm)
    tl.store(out + row, logarithm - tl.load(logits + tl.load(targets + row)).to(tl.float32))


@triton.jit
@no_type_check
def _nats_back(gradient, logits, targets, logarithms, stride, width, block: tl.constexpr):
    row = tl.program_id(1).to(tl.int64)
    column = tl.program_id(0) * block + tl.arange(0, block)
    logits += row * stride
    loaded = tl.load(logits + column, mask=column < width, other=0.0)
    share = tl.exp(loaded.to(tl.float32) - tl.load(logarithms + row))
    share = tl.where(column == tl.load(targets + row), share - 1.0, share)
    tl.store(logits + column, (share * tl.load(gradient)).to(loaded.dtype), mask=column < width)


@triton.jit
@no_type_check
def _copy(
    table, scales, source_kind: tl.constexpr, place_kind: tl.constexpr, block: tl.constexpr
):  # fmt: skip
    which = tl.program_id(1)
    source = tl.load(table + 5 * which).to(tl.pointer_type(source_kind))
    place = tl.load(table + 5 * which + 1).to(tl.pointer_type(place_kind))
    rows, columns, stride = (
        tl.load(table + 5 * which + 2), tl.load(table + 5 * which + 3), tl.load(table + 5 * which + 4)
    )  # fmt: skip
    scale = tl.load(scales + which)
    index = tl.program_id(0) * block + tl.arange(0, block)
    inside = index < rows * columns
    values = tl.load(source + index, mask=inside, other=0.0).to(tl.float32) * scale
    tl.store(place + index // columns * stride + index % columns, values.to(place_kind), mask=inside)


ROWS, COLUMNS = 64, 64
"""Of a tile: small, so that what is added to it leaves registers for enough warps to keep memory busy."""
NORM_ROWS, NORM_COLUMNS, NORM_TILES = 64, 64, 4
"""Of a tile of a norm's input, and tiles one below the other over which one program sums."""
_KINDS = {torch.float32: tl.float32, torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}
TILES, SUM_TILES = 8, 2
"""Side by side in one program: of the gate, over which products with an adapter's matrix are summed, and of a sum."""
AHEAD = 3
"""Of them are under way at once: while one is computed, the next are loaded."""
MOST_SUMMED = 32
"""Rank up to which there are registers for such sums."""


def normalised(hidden: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """See `fused.normalised`."""
    tokens, width = hidden.shape
    out, factor = torch.empty_like(hidden), hidden.new_empty(tokens, dtype=torch.float32)
    block = triton.next_power_of_2(width)
    _norm[(tokens,)](hidden, weight, out, factor, width, epsilon, block=block, num_warps=_warps(block))
    return out, factor


def through_norm(gradient: Tensor, hidden: Tensor, factor: Tensor, weight: Tensor, beside: Tensor) -> Tensor:
    """See `fused.through_norm`."""
    tokens, width = hidden.shape
    out, block = torch.empty_like(hidden), triton.next_power_of_2(width)
    _norm_back[(tokens,)](
        gradient,
        hidden,
        factor,
        weight,
        beside.contiguous(),
        out,
        width,
        block=block,
        num_warps=_warps(block),
    )
    return out


def of_norm(gradient: Tensor, hidden: Tensor, factor: Tensor) -> Tensor:
    """See `fused.of_norm`."""
    tokens, width = hidden.shape
    programs = triton.cdiv(tokens, NORM_ROWS * NORM_TILES)
    part = factor.new_empty(programs, width)
    _norm_weight_back[(triton.cdiv(width, NORM_COLUMNS), programs)](
        gradient, hidden, factor, part, tokens, width,
        num_rows=NORM_ROWS, num_columns=NORM_COLUMNS, num_tiles=NORM_TILES, ahead=AHEAD,
    )  # fmt: skip
    return part.sum(0)


def summed(rows: Tensor, added: Added | None, beside: Tensor | None) -> Tensor:
    """See `fused.summed`; written over the rows."""
    tokens, width = rows.shape
    ends, largest = _blocks(added)
    is_small = largest <= MOST_SUMMED
    tiles = SUM_TILES if is_small else 1
    grid = (triton.cdiv(width, COLUMNS * tiles), triton.cdiv(tokens, ROWS))
    _sum[grid](
        rows, rows if beside is None else beside, rows, tokens, width, *_parts(added, rows), *ends,
        padded=_padded(largest), has_beside=beside is not None,
        **_tiles(tiles, is_small),
    )  # fmt: skip
    return rows


def gated(
    both: Tensor, to_gate: Added | None, to_up: Added | None, down: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """See `fused.gated`."""
    tokens, width = len(both), both.shape[1] // 2
    out = both.new_empty(tokens, width)
    rank = 0 if down is None else len(down)
    is_summed = 0 < rank <= MOST_SUMMED and _most(to_gate, to_up) <= MOST_SUMMED
    tiles = TILES if is_summed else 1
    programs = triton.cdiv(width, COLUMNS * tiles)
    part = both.new_empty(programs, tokens, rank, dtype=torch.float32) if is_summed else both
    _gate[(programs, triton.cdiv(tokens, ROWS))](
        both, out, tokens, width, *_two_parts(to_gate, to_up, both),
        both if down is None else down, part, rank,
        gate_padded=_padded(_rank(to_gate)), up_padded=_padded(_rank(to_up)),
        down_padded=_padded(rank) if is_summed else 0,
        **_tiles(tiles, is_summed),
    )  # fmt: skip
    if down is None:
        return out, None
    return out, _collected(part, both.dtype) if is_summed else out @ down.T


def through_gate(
    gradient: Tensor, both: Tensor, to_gate: Added | None, to_up: Added | None, more: Added | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """See `fused.through_gate`; written over what is given."""
    tokens, width = gradient.shape
    increment_version((gradient, both))  # So that a second backward pass is refused.
    rank = _rank(to_gate) + _rank(to_up)
    is_summed = rank > 0 and _most(to_gate, to_up, more) <= MOST_SUMMED
    tiles = TILES if is_summed else 1
    programs = triton.cdiv(width, COLUMNS * tiles)
    part = both.new_empty(programs, tokens, rank, dtype=torch.float32) if is_summed else both
    _gate_back[(programs, triton.cdiv(tokens, ROWS))](
        gradient, both, tokens, width, *_two_parts(to_gate, to_up, both),
        *((more.inner, more.up, _rank(more)) if more else (both, both, 0)), part,
        gate_padded=_padded(_rank(to_gate)), up_padded=_padded(_rank(to_up)), more_padded=_padded(_rank(more)),
        has_part=is_summed, **_tiles(tiles, is_summed),
    )  # fmt: skip
    if is_summed:
        return both, gradient, _collected(part, both.dtype)
    pieces = zip(both.chunk(2, dim=1), (to_gate, to_up), strict=True)
    of_inner = [of_one @ to.up for of_one, to in pieces if to]
    return both, gradient, torch.cat(of_inner, dim=1) if of_inner else None


def nats(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """See `fused.nats`."""
    number, width = logits.shape
    each = logits.new_empty(number, dtype=torch.float32)
    logarithms = torch.empty_like(each)
    if number:
        _nats[(number,)](logits, targets, each, logarithms, logits.stride(0), width, block=4096, num_warps=8)
    return each, logarithms


def through_nats(gradient: Tensor, logits: Tensor, targets: Tensor, logarithms: Tensor) -> Tensor:
    """See `fused.through_nats`; written over the logits."""
    increment_version(logits)
    number, width = logits.shape
    block = 4096
    if number:
        _nats_back[(triton.cdiv(width, block), number)](
            gradient, logits, targets, logarithms, logits.stride(0), width, block=block, num_warps=8
        )
    return logits


def turned(rows: Tensor, heads: Heads, turning: Turning) -> tuple[Tensor, Tensor, Tensor]:
    """See `fused.turned`; written over the rows if there are no norms."""
    raw = rows.split(heads.sizes, dim=1)
    number = heads.queries + heads.keys
    out = rows if turning.weights is None else rows.new_empty(len(rows), number * heads.width)
    if len(rows):
        _turn[(len(rows),)](
            rows, out, rows.stride(0), out.stride(0), *_turning(turning), heads.queries, number,
            turning.epsilon, **_sizes(heads, turning),
        )  # fmt: skip
    if out is rows:
        return raw  # type: ignore[return-value]
    return *out.split(heads.sizes[:2], dim=1), raw[2]  # type: ignore[return-value]


def turned_back(
    gradients: tuple[Tensor, Tensor, Tensor],
    rows: Tensor | None,
    heads: Heads,
    turning: Turning,
    of_weights: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """See `fused.turned_back`."""
    each = [one if one.stride(1) == 1 else one.contiguous() for one in gradients]
    tokens = len(each[0])
    out = each[0].new_empty(tokens, sum(heads.sizes))
    kept = out if rows is None else rows
    parts = out.new_zeros(2, tokens, heads.width, dtype=torch.float32) if of_weights else out
    if tokens:
        _turn_back[(tokens,)](
            *each, kept, out, *(one.stride(0) for one in (*each, kept, out)), *_turning(turning), parts,
            heads.queries, heads.keys, turning.epsilon, **_sizes(heads, turning), of_weights=of_weights,
        )  # fmt: skip
    return out, tuple(parts.sum(1)) if of_weights else ()


def table(copies: Sequence[Copy]) -> tuple[Tensor, Tensor]:
    """Where matrices and the places for their copies are, on their device, and the scales."""
    rows = [(one.of.data_ptr(), one.place.data_ptr(), *one.of.shape, one.place.stride(0)) for one in copies]
    device = copies[0].of.device
    return torch.tensor(rows, device=device), torch.tensor([one.scale for one in copies], device=device)


def copy(copies: Sequence[Copy], where: tuple[Tensor, Tensor]) -> None:
    """Write each matrix, times its scale, into its place."""
    kinds = (_KINDS[one] for one in (copies[0].of.dtype, copies[0].place.dtype))
    block = 4096
    largest = max(one.of.numel() for one in copies)
    _copy[(triton.cdiv(largest, block), len(copies))](*where, *kinds, block=block, num_warps=8)


def _turning(turning: Turning) -> tuple[Tensor, ...]:
    weights = turning.weights or (turning.cosine, turning.cosine)
    return turning.cosine, turning.sine, *weights


def _sizes(heads: Heads, turning: Turning) -> dict[str, Any]:
    half = heads.width // 2
    return {
        "half": half,
        "padded_half": triton.next_power_of_2(half),
        "padded_heads": triton.next_power_of_2(heads.queries + heads.keys),
        "has_norm": turning.weights is not None,
    }


def _collected(part: Tensor, kind: torch.dtype) -> Tensor:
    """The sum of what each program has, rounded once."""
    number, *shape = part.shape
    out = part.new_empty(shape, dtype=kind)
    block = 1024
    _collect[(triton.cdiv(out.numel(), block),)](part, out, out.numel(), number, block=block)
    return out


def _parts(added: Added | None, unused: Tensor) -> tuple[Any, ...]:
    """Pointers and strides of what adapters add."""
    if added is None:
        return unused, unused, 0, 0
    return added.inner, added.up, added.inner.stride(0), added.up.stride(0)


def _two_parts(to_gate: Added | None, to_up: Added | None, unused: Tensor) -> tuple[Any, ...]:
    """Of gate and up, whose matrices are parts of the same two."""
    each = [(one.inner, one.up, _rank(one)) if one else (unused, unused, 0) for one in (to_gate, to_up)]
    some = to_gate or to_up
    return *each[0], *each[1], *((some.inner.stride(0), some.up.stride(0)) if some else (0, 0))


def _blocks(added: Added | None) -> tuple[tuple[int, ...], int]:
    """Where the blocks of what is added end, by columns and by rank, and the largest rank of a tile; all is one block
    if a tile would lie in two."""
    if added is None:
        return (0,) * 5, 0
    rank, blocks = _rank(added), added.blocks
    if not 1 < len(blocks) <= 3 or any(outputs % COLUMNS for outputs, _ in blocks):
        return (added.up.shape[0], added.up.shape[0], rank, rank, rank), rank
    blocks = (*blocks, (0, 0)) if len(blocks) == 2 else blocks
    (first, rank_of_first), (second, rank_of_second), _ = blocks
    ends = first, first + second
    return (*ends, rank_of_first, rank_of_first + rank_of_second, rank), max(one for _, one in blocks)


def _tiles(number: int, are_ahead: bool) -> dict[str, int]:
    """How a program goes over its tiles; where ranks are large, there is no room to load them ahead."""
    sizes = {"num_rows": ROWS, "num_columns": COLUMNS, "num_tiles": number}
    return sizes | ({"ahead": AHEAD, "num_warps": 4} if are_ahead else {"ahead": 1, "num_warps": 8})


def _rank(added: Added | None) -> int:
    return added.up.shape[1] if added else 0


def _most(*added: Added | None) -> int:
    return max(_rank(one) for one in added)


def _padded(rank: int) -> int:
    """The rank as the matrix unit takes it."""
    return max(16, triton.next_power_of_2(rank)) if rank else 0


def _warps(block: int) -> int:
    return 16 if block >= 8192 else 8 if block >= 2048 else 4
