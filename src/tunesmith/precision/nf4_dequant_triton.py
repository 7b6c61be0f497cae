"""Triton kernels of `nf4_dequant` (see there for the storage format), double quantization included.

Layout: `packed` has half a byte for each weight in row-major order of the matrix, the first of two in the upper half;
`scales` has an entry for each group of 64 weights. Both results are row-major.

To 16 bits, groups are independent of rows: a program takes 64 groups (4,096 weights) wherever they lie, unpacks their
bytes, looks codes up in the table of 16 values, which stays in the cache, and writes each number once. bitsandbytes
takes three kernels and a temporary for the scales.

To 8 bits, a program takes a row: it reads all of the row's scales for the largest, which is the row's, and then goes
over the groups in steps of 64. The groups must end with the row.
"""

from __future__ import annotations

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Float32, Num, UInt8
from torch import Tensor

GROUPS = 64
"""Groups that a program takes at once."""
_MIN_PEAK = tl.constexpr(1e-30)
"""Largest scale that a row of zeros is taken to have."""


# The run-time checks of signatures in tests would hide the source that Triton compiles.
@triton.jit
@no_type_check
def _load_scale(
    scales, scale_code, scale_scales, offset, index, inside, scale_group: tl.constexpr
):  # fmt: skip
    """Scales of the groups with these indices, in fp32.

    `scales` holds fp32 numbers if `scale_group` is 0, else indices into `scale_code` (256,), and `scale_scales` has a
    scale for each `scale_group` of them; `offset` is a single number.
    """
    scale = tl.load(scales + index, mask=inside, other=0)
    if scale_group:
        outer = tl.load(scale_scales + index // scale_group, mask=inside, other=0.0)
        scale = tl.load(scale_code + scale.to(tl.int32), mask=inside, other=0.0) * outer
        scale = tl.where(inside, scale + tl.load(offset), 0.0)
    return scale


@triton.jit
@no_type_check
def _load_values(packed, code, index, scale, inside, group: tl.constexpr):
    """A (groups, group) tile of weights: the groups with these indices, each times its scale."""
    offsets = index[:, None] * (group // 2) + tl.arange(0, group // 2)[None, :]
    pair = tl.load(packed + offsets, mask=inside, other=0).to(tl.int32)
    first = tl.load(code + (pair >> 4)) * scale[:, None]
    second = tl.load(code + (pair & 15)) * scale[:, None]
    return tl.interleave(first, second)


@triton.jit
@no_type_check
def _dequantize(
    packed, code, scales, scale_code, scale_scales, offset, out, size,
    group: tl.constexpr, scale_group: tl.constexpr, groups: tl.constexpr,
):  # fmt: skip
    """Dequantize `groups` groups.

    Inputs: packed (size / 2,) bytes, code (16,) in fp32, scales as in `_load_scale`. Written: out (size,).
    """
    index = tl.program_id(0).to(tl.int64) * groups + tl.arange(0, groups)
    scale = _load_scale(scales, scale_code, scale_scales, offset, index, index * group < size, scale_group)
    byte = index[:, None] * (group // 2) + tl.arange(0, group // 2)[None, :]
    values = _load_values(packed, code, index, scale, byte * 2 < size, group)
    weight = index[:, None] * group + tl.arange(0, group)[None, :]
    tl.store(out + weight, values.to(out.dtype.element_ty), mask=weight < size)


@triton.jit
@no_type_check
def _row_to_fp8(
    packed, code, scales, scale_code, scale_scales, offset, out, row_scales, num_groups, largest,
    group: tl.constexpr, scale_group: tl.constexpr, groups: tl.constexpr, max_groups: tl.constexpr,
):  # fmt: skip
    """Bring one row of `num_groups` groups to 8 bits.

    Inputs as in `_dequantize`; `largest` value of the 8-bit dtype; `max_groups` is `num_groups` rounded up to a power
    of two. Written: out (row, width) in 8 bits, row_scales (row,) in fp32.
    """
    row = tl.program_id(0).to(tl.int64)
    begin = row * num_groups
    every = tl.arange(0, max_groups)
    all_scales = _load_scale(
        scales, scale_code, scale_scales, offset, begin + every, every < num_groups, scale_group
    )
    peak = tl.maximum(tl.max(tl.abs(all_scales), axis=0), _MIN_PEAK)
    tl.store(row_scales + row, peak / largest)
    for start in range(0, num_groups, groups):
        in_row = start + tl.arange(0, groups)
        inside, index = in_row < num_groups, begin + in_row
        scale = _load_scale(scales, scale_code, scale_scales, offset, index, inside, scale_group)
        values = _load_values(packed, code, index, scale * (largest / peak), inside[:, None], group)
        weight = index[:, None] * group + tl.arange(0, group)[None, :]
        tl.store(out + weight, values.to(out.dtype.element_ty), mask=inside[:, None])


def dequantize_into(packed: UInt8[Tensor, "byte 1"], state: Any, target: Float[Tensor, "out in"]) -> None:
    """Triton form of `nf4_dequant.dequantize_into`; `state` is the `QuantState` of the weight."""
    operands, scale_group = _scale_operands(state)
    size = target.numel()
    _dequantize[(triton.cdiv(size, GROUPS * state.blocksize),)](
        packed, state.code, *operands, target, size,
        group=state.blocksize, scale_group=scale_group, groups=GROUPS,
    )  # fmt: skip


def to_fp8(
    packed: UInt8[Tensor, "byte 1"], state: Any, out: Num[Tensor, "out in"], scales: Float32[Tensor, " out"]
) -> None:
    """Triton form of `nf4_dequant.to_fp8` for one layer; writes its rows and their scales."""
    operands, scale_group = _scale_operands(state)
    rows, width = out.shape
    num_groups = width // state.blocksize
    max_groups = triton.next_power_of_2(num_groups)
    _row_to_fp8[(rows,)](
        packed, state.code, *operands, out, scales, num_groups, torch.finfo(out.dtype).max,
        group=state.blocksize, scale_group=scale_group, groups=min(max_groups, GROUPS), max_groups=max_groups,
    )  # fmt: skip


def _scale_operands(state: Any) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], int]:
    """Kernel arguments for the scales, and how many scales share a scale; 0 if they are not quantized."""
    scales, nested = state.absmax, state.state2
    if nested is None:
        return (scales, scales, scales, scales), 0
    return (scales, nested.code, nested.absmax, state.offset), nested.blocksize
