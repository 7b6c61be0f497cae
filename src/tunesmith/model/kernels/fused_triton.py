"""Triton kernels of `fused`; see there for what each computes. Imported only where a GPU is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

if TYPE_CHECKING:
    from tunesmith.model.kernels.fused import Added, Turning


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
def _tile(tokens, width, num_rows: tl.constexpr, num_columns: tl.constexpr):
    """Rows, columns, places and which of them are there, of a program's tile."""
    columns = tl.program_id(0) * num_columns + tl.arange(0, num_columns)
    rows = (tl.program_id(1) * num_rows + tl.arange(0, num_rows)).to(tl.int64)
    inside = (rows[:, None] < tokens) & (columns[None, :] < width)
    return rows, columns, rows[:, None] * width + columns[None, :], inside


@triton.jit
@no_type_check
def _added(
    inner, other, rows, columns, tokens, width, stride, rank, padded: tl.constexpr, is_up: tl.constexpr
):  # fmt: skip
    """A tile of inner @ other.T if the other is an adapter's `up`, of inner @ other if it is its `down`."""
    dimension = tl.arange(0, padded)
    left = tl.load(
        inner + rows[:, None] * stride + dimension[None, :],
        mask=(rows[:, None] < tokens) & (dimension[None, :] < rank),
        other=0.0,
    )
    along_rank, along_width = (1, rank) if is_up else (width, 1)
    place = dimension[:, None] * along_rank + columns[None, :] * along_width
    right = tl.load(other + place, mask=(columns[None, :] < width) & (dimension[:, None] < rank), other=0.0)
    return tl.dot(left, right)


@triton.jit
@no_type_check
def _sum(
    product, beside, out, tokens, width, inner, up, stride, rank,
    padded: tl.constexpr, has_beside: tl.constexpr, num_rows: tl.constexpr, num_columns: tl.constexpr,
):  # fmt: skip
    rows, columns, place, inside = _tile(tokens, width, num_rows, num_columns)
    loaded = tl.load(product + place, mask=inside, other=0.0)
    whole = loaded.to(tl.float32)
    if padded > 0:
        whole += _added(inner, up, rows, columns, tokens, width, stride, rank, padded, True)
    if has_beside:
        whole += tl.load(beside + place, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + place, whole.to(loaded.dtype), mask=inside)


@triton.jit
@no_type_check
def _gate(
    gate, up, out, tokens, width,
    gate_inner, gate_up, gate_stride, gate_rank,
    up_inner, up_up, up_stride, up_rank,
    gate_padded: tl.constexpr, up_padded: tl.constexpr, num_rows: tl.constexpr, num_columns: tl.constexpr,
):  # fmt: skip
    rows, columns, place, inside = _tile(tokens, width, num_rows, num_columns)
    loaded = tl.load(gate + place, mask=inside, other=0.0)
    whole_gate = loaded.to(tl.float32)
    whole_up = tl.load(up + place, mask=inside, other=0.0).to(tl.float32)
    if gate_padded > 0:
        whole_gate += _added(
            gate_inner, gate_up, rows, columns, tokens, width, gate_stride, gate_rank, gate_padded, True
        )
    if up_padded > 0:
        whole_up += _added(up_inner, up_up, rows, columns, tokens, width, up_stride, up_rank, up_padded, True)
    opened = (whole_gate * tl.sigmoid(whole_gate)).to(loaded.dtype).to(tl.float32)
    tl.store(out + place, (opened * whole_up).to(loaded.dtype), mask=inside)


@triton.jit
@no_type_check
def _gate_back(
    gradient, gate, up, of_gate, of_up, out, tokens, width,
    gate_inner, gate_up, gate_stride, gate_rank,
    up_inner, up_up, up_stride, up_rank,
    more_inner, more_down, more_stride, more_rank,
    gate_padded: tl.constexpr, up_padded: tl.constexpr, more_padded: tl.constexpr,
    num_rows: tl.constexpr, num_columns: tl.constexpr,
):  # fmt: skip
    rows, columns, place, inside = _tile(tokens, width, num_rows, num_columns)
    loaded = tl.load(gate + place, mask=inside, other=0.0)
    whole_gate = loaded.to(tl.float32)
    whole_up = tl.load(up + place, mask=inside, other=0.0).to(tl.float32)
    whole = tl.load(gradient + place, mask=inside, other=0.0).to(tl.float32)
    if gate_padded > 0:
        whole_gate += _added(
            gate_inner, gate_up, rows, columns, tokens, width, gate_stride, gate_rank, gate_padded, True
        )
    if up_padded > 0:
        whole_up += _added(up_inner, up_up, rows, columns, tokens, width, up_stride, up_rank, up_padded, True)
    if more_padded > 0:
        whole += _added(
            more_inner, more_down, rows, columns, tokens, width, more_stride, more_rank, more_padded, False
        )
    share = tl.sigmoid(whole_gate)
    opened = whole_gate * share
    kind = loaded.dtype
    tl.store(of_up + place, (whole * opened).to(kind), mask=inside)
    slope = share * (1 + whole_gate * (1 - share))
    tl.store(of_gate + place, (whole * whole_up * slope).to(kind), mask=inside)
    tl.store(out + place, (opened.to(kind).to(tl.float32) * whole_up).to(kind), mask=inside)


@triton.jit
@no_type_check
def _turn(
    rows, out, cosine, sine, weight, heads, epsilon,
    half: tl.constexpr, padded_heads: tl.constexpr, has_norm: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    head = tl.arange(0, padded_heads)[:, None]
    column = tl.arange(0, half)[None, :]
    inside = (head < heads) & (column < half)
    place = token * heads * 2 * half + head * 2 * half + column
    loaded = tl.load(rows + place, mask=inside, other=0.0)
    first = loaded.to(tl.float32)
    second = tl.load(rows + place + half, mask=inside, other=0.0).to(tl.float32)
    kind = loaded.dtype
    if has_norm:
        squares = tl.sum(first * first, axis=1) + tl.sum(second * second, axis=1)
        factor = tl.rsqrt(squares / (2 * half) + epsilon)[:, None]
        low = tl.load(weight + column).to(tl.float32)
        high = tl.load(weight + half + column).to(tl.float32)
        first = ((first * factor).to(kind).to(tl.float32) * low).to(kind).to(tl.float32)
        second = ((second * factor).to(kind).to(tl.float32) * high).to(kind).to(tl.float32)
    at = token * 2 * half + column
    first_out = first * tl.load(cosine + at).to(tl.float32) - second * tl.load(sine + at).to(tl.float32)
    second_out = second * tl.load(cosine + at + half).to(tl.float32) + first * tl.load(sine + at + half).to(
        tl.float32
    )
    tl.store(out + place, first_out.to(kind), mask=inside)
    tl.store(out + place + half, second_out.to(kind), mask=inside)


@triton.jit
@no_type_check
def _turn_back(
    gradient, rows, out, cosine, sine, weight, heads, epsilon,
    half: tl.constexpr, padded_heads: tl.constexpr, has_norm: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    head = tl.arange(0, padded_heads)[:, None]
    column = tl.arange(0, half)[None, :]
    inside = (head < heads) & (column < half)
    place = token * heads * 2 * half + head * 2 * half + column
    loaded = tl.load(gradient + place, mask=inside, other=0.0)
    first = loaded.to(tl.float32)
    second = tl.load(gradient + place + half, mask=inside, other=0.0).to(tl.float32)
    kind = loaded.dtype
    at = token * 2 * half + column
    of_first = first * tl.load(cosine + at).to(tl.float32) + second * tl.load(sine + at + half).to(tl.float32)
    of_second = second * tl.load(cosine + at + half).to(tl.float32) - first * tl.load(sine + at).to(
        tl.float32
    )
    if has_norm:
        low = tl.load(rows + place, mask=inside, other=0.0).to(tl.float32)
        high = tl.load(rows + place + half, mask=inside, other=0.0).to(tl.float32)
        squares = tl.sum(low * low, axis=1) + tl.sum(high * high, axis=1)
        factor = tl.rsqrt(squares / (2 * half) + epsilon)[:, None]
        low = low * factor
        high = high * factor
        of_first = of_first * tl.load(weight + column).to(tl.float32)
        of_second = of_second * tl.load(weight + half + column).to(tl.float32)
        along = tl.sum(of_first * low, axis=1) + tl.sum(of_second * high, axis=1)
        along = (along / (2 * half))[:, None]
        of_first = (of_first - low * along) * factor
        of_second = (of_second - high * along) * factor
    tl.store(out + place, of_first.to(kind), mask=inside)
    tl.store(out + place + half, of_second.to(kind), mask=inside)


ROWS, COLUMNS = 64, 64
"""Of a tile: small, so that what is added to it leaves registers for enough warps to keep memory busy."""


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


def summed(rows: Tensor, added: Added | None, beside: Tensor | None) -> Tensor:
    """See `fused.summed`; written over the rows."""
    tokens, width = rows.shape
    _sum[_tiles(rows)](
        rows, rows if beside is None else beside, rows, tokens, width, *_parts(added, rows),
        padded=_padded(added), has_beside=beside is not None, num_rows=ROWS, num_columns=COLUMNS, num_warps=8,
    )  # fmt: skip
    return rows


def gated(gate: Tensor, up: Tensor, to_gate: Added | None, to_up: Added | None) -> Tensor:
    """See `fused.gated`."""
    tokens, width = gate.shape
    out = torch.empty_like(gate)
    _gate[_tiles(gate)](
        gate, up, out, tokens, width, *_parts(to_gate, gate), *_parts(to_up, gate),
        gate_padded=_padded(to_gate), up_padded=_padded(to_up), num_rows=ROWS, num_columns=COLUMNS, num_warps=8,
    )  # fmt: skip
    return out


def through_gate(
    gradient: Tensor, gate: Tensor, up: Tensor, to_gate: Added | None, to_up: Added | None, more: Added | None
) -> tuple[Tensor, Tensor, Tensor]:
    """See `fused.through_gate`."""
    tokens, width = gate.shape
    of_gate, of_up, out = torch.empty_like(gate), torch.empty_like(gate), torch.empty_like(gate)
    _gate_back[_tiles(gate)](
        gradient, gate, up, of_gate, of_up, out, tokens, width,
        *_parts(to_gate, gate), *_parts(to_up, gate), *_parts(more and more._replace(up=more.up.T), gate),
        gate_padded=_padded(to_gate), up_padded=_padded(to_up), more_padded=_padded(more),
        num_rows=ROWS, num_columns=COLUMNS, num_warps=8,
    )  # fmt: skip
    return of_gate, of_up, out


def turned(rows: Tensor, turning: Turning) -> Tensor:
    """See `fused.turned`."""
    out = torch.empty_like(rows)
    _turn[(len(rows),)](rows, out, *_turning(rows, turning))
    return out


def turned_back(gradient: Tensor, rows: Tensor | None, turning: Turning) -> Tensor:
    """See `fused.turned_back`."""
    gradient = gradient.contiguous()
    out = torch.empty_like(gradient)
    _turn_back[(len(gradient),)](
        gradient, gradient if rows is None else rows, out, *_turning(gradient, turning)
    )
    return out


def _turning(rows: Tensor, turning: Turning) -> tuple[Any, ...]:
    half = turning.cosine.shape[1] // 2
    heads = rows.shape[1] // (2 * half)
    has_norm = turning.weight is not None
    weight = turning.weight if has_norm else turning.cosine
    return (turning.cosine, turning.sine, weight, heads, turning.epsilon,
            half, triton.next_power_of_2(heads), has_norm)  # fmt: skip


def _tiles(rows: Tensor) -> tuple[int, int]:
    return triton.cdiv(rows.shape[1], COLUMNS), triton.cdiv(rows.shape[0], ROWS)


def _parts(added: Added | None, unused: Tensor) -> tuple[Any, ...]:
    """Pointers and sizes of what an adapter adds."""
    if added is None:
        return unused, unused, 0, 0
    return added.inner, added.up, added.inner.stride(0), added.inner.shape[1]


def _padded(added: Added | None) -> int:
    """The rank as the matrix unit takes it."""
    return max(16, triton.next_power_of_2(added.inner.shape[1])) if added else 0


def _warps(block: int) -> int:
    return 16 if block >= 8192 else 8 if block >= 2048 else 4
