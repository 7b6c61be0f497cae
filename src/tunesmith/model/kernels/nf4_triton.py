"""A kernel for a GPU: 4-bit weights made whole in one pass, scales that are quantised themselves included."""

from __future__ import annotations

from typing import Any, no_type_check

import triton
import triton.language as tl
from jaxtyping import Float, UInt8
from torch import Tensor

GROUPS = 64
"""Of weights with a common scale, in one program."""


# What checks signatures in tests would hide the source that Triton compiles.
@triton.jit
@no_type_check
def _whole(
    packed, code, scales, scale_code, scale_scales, offset, out, size,
    group: tl.constexpr, scale_group: tl.constexpr, groups: tl.constexpr,
):  # fmt: skip
    number = tl.program_id(0).to(tl.int64) * groups + tl.arange(0, groups)
    there = number * group < size
    scale = tl.load(scales + number, mask=there, other=0)
    if scale_group:
        wide = tl.load(scale_scales + number // scale_group, mask=there, other=0.0)
        scale = tl.load(scale_code + scale.to(tl.int32)) * wide + tl.load(offset)
    place = number[:, None] * (group // 2) + tl.arange(0, group // 2)[None, :]
    pair = tl.load(packed + place, mask=place * 2 < size, other=0).to(tl.int32)
    first = tl.load(code + (pair >> 4)) * scale[:, None]
    second = tl.load(code + (pair & 15)) * scale[:, None]
    at = number[:, None] * group + tl.arange(0, group)[None, :]
    tl.store(out + at, tl.interleave(first, second).to(out.dtype.element_ty), mask=at < size)


def write_whole(packed: UInt8[Tensor, "byte 1"], state: Any, place: Float[Tensor, "out in"]) -> None:
    """See `nf4.write_whole`; `state` is what bitsandbytes keeps beside a weight."""
    scales, nested = state.absmax, state.state2
    of_scales = (scales, scales, scales) if nested is None else (nested.code, nested.absmax, state.offset)
    size = place.numel()
    _whole[(triton.cdiv(size, GROUPS * state.blocksize),)](
        packed, state.code, scales, *of_scales, place, size,
        group=state.blocksize, scale_group=0 if nested is None else nested.blocksize, groups=GROUPS,
    )  # fmt: skip
