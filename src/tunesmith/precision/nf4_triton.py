"""Kernels for a GPU: 4-bit weights made whole in one pass, scales that are quantised themselves included."""

from __future__ import annotations

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Float32, Num, UInt8
from torch import Tensor

from tunesmith.precision.fp8_cast import LEAST

GROUPS = 64
"""Of weights with a common scale, in one program or at once."""
_LEAST = tl.constexpr(LEAST)


# What checks signatures in tests would hide the source that Triton compiles.
@triton.jit
@no_type_check
def _scale(
    scales, scale_code, scale_scales, offset, number, there, scale_group: tl.constexpr
):  # fmt: skip
    """Of the groups of these numbers."""
    scale = tl.load(scales + number, mask=there, other=0)
    if scale_group:
        wide = tl.load(scale_scales + number // scale_group, mask=there, other=0.0)
        scale = tl.load(scale_code + scale.to(tl.int32), mask=there, other=0.0) * wide
        scale = tl.where(there, scale + tl.load(offset), 0.0)
    return scale


@triton.jit
@no_type_check
def _values(packed, code, number, scale, there, group: tl.constexpr):
    """Of the groups of these numbers, each with its scale."""
    place = number[:, None] * (group // 2) + tl.arange(0, group // 2)[None, :]
    pair = tl.load(packed + place, mask=there, other=0).to(tl.int32)
    first = tl.load(code + (pair >> 4)) * scale[:, None]
    second = tl.load(code + (pair & 15)) * scale[:, None]
    return tl.interleave(first, second)


@triton.jit
@no_type_check
def _whole(
    packed, code, scales, scale_code, scale_scales, offset, out, size,
    group: tl.constexpr, scale_group: tl.constexpr, groups: tl.constexpr,
):  # fmt: skip
    number = tl.program_id(0).to(tl.int64) * groups + tl.arange(0, groups)
    scale = _scale(scales, scale_code, scale_scales, offset, number, number * group < size, scale_group)
    place = number[:, None] * (group // 2) + tl.arange(0, group // 2)[None, :]
    values = _values(packed, code, number, scale, place * 2 < size, group)
    at = number[:, None] * group + tl.arange(0, group)[None, :]
    tl.store(out + at, values.to(out.dtype.element_ty), mask=at < size)


@triton.jit
@no_type_check
def _row_in_eight_bits(
    packed, code, scales, scale_code, scale_scales, offset, out, row_scales, num_groups, largest,
    group: tl.constexpr, scale_group: tl.constexpr, groups: tl.constexpr, most_groups: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    begin = row * num_groups
    every = tl.arange(0, most_groups)
    all_scales = _scale(
        scales, scale_code, scale_scales, offset, begin + every, every < num_groups, scale_group
    )
    peak = tl.maximum(tl.max(tl.abs(all_scales), axis=0), _LEAST)
    tl.store(row_scales + row, peak / largest)
    for start in range(0, num_groups, groups):
        place = start + tl.arange(0, groups)
        there, number = place < num_groups, begin + place
        scale = _scale(scales, scale_code, scale_scales, offset, number, there, scale_group)
        values = _values(packed, code, number, scale * (largest / peak), there[:, None], group)
        at = number[:, None] * group + tl.arange(0, group)[None, :]
        tl.store(out + at, values.to(out.dtype.element_ty), mask=there[:, None])


def write_whole(packed: UInt8[Tensor, "byte 1"], state: Any, place: Float[Tensor, "out in"]) -> None:
    """See `nf4.write_whole`; `state` is what bitsandbytes keeps beside a weight."""
    of_scales, scale_group = _of_scales(state)
    size = place.numel()
    _whole[(triton.cdiv(size, GROUPS * state.blocksize),)](
        packed, state.code, *of_scales, place, size,
        group=state.blocksize, scale_group=scale_group, groups=GROUPS,
    )  # fmt: skip


def write_in_eight_bits(
    packed: UInt8[Tensor, "byte 1"], state: Any, place: Num[Tensor, "out in"], scales: Float32[Tensor, " out"]
) -> None:
    """See `nf4.in_eight_bits`: one layer's weights and the scales of their rows."""
    of_scales, scale_group = _of_scales(state)
    rows, width = place.shape
    num_groups = width // state.blocksize
    most = triton.next_power_of_2(num_groups)
    _row_in_eight_bits[(rows,)](
        packed, state.code, *of_scales, place, scales, num_groups, torch.finfo(place.dtype).max,
        group=state.blocksize, scale_group=scale_group, groups=min(most, GROUPS), most_groups=most,
    )  # fmt: skip


def _of_scales(state: Any) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], int]:
    """The scales of the groups and what they are made of, and how many of them have a common scale; 0 if they are whole
    themselves."""
    scales, nested = state.absmax, state.state2
    if nested is None:
        return (scales, scales, scales, scales), 0
    return (scales, nested.code, nested.absmax, state.offset), nested.blocksize
