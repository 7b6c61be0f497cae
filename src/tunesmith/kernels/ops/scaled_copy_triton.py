"""Triton kernel of `scaled_copy`: one launch for all matrices of a table.

Layout: a row of the table has five int64 numbers: the addresses of source and target, the number of rows and of
columns, and the target's row stride in elements. Sources are contiguous. A program copies 4,096 elements of one matrix;
the grid is as long as the largest matrix needs, and programs beyond the end of a smaller one do nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

if TYPE_CHECKING:
    from tunesmith.kernels.ops.scaled_copy import ScaledCopy


BLOCK = 4096
_TRITON_DTYPES = {torch.float32: tl.float32, torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}


# The run-time checks of signatures in tests would hide the source that Triton compiles.
@triton.jit
@no_type_check
def _scaled_copy(
    table, scales, source_dtype: tl.constexpr, target_dtype: tl.constexpr, block: tl.constexpr
):  # fmt: skip
    """Copy one block of one matrix. Inputs: table (matrix, 5) in int64, scales (matrix,) in fp32.

    Written: target[row, column] = scale * source[row, column], at the addresses in the table.
    """
    index = tl.program_id(1)
    source = tl.load(table + 5 * index).to(tl.pointer_type(source_dtype))
    target = tl.load(table + 5 * index + 1).to(tl.pointer_type(target_dtype))
    rows, columns, stride = (
        tl.load(table + 5 * index + 2), tl.load(table + 5 * index + 3), tl.load(table + 5 * index + 4)
    )  # fmt: skip
    scale = tl.load(scales + index)
    element = tl.program_id(0) * block + tl.arange(0, block)
    inside = element < rows * columns
    values = tl.load(source + element, mask=inside, other=0.0).to(tl.float32) * scale
    tl.store(target + element // columns * stride + element % columns, values.to(target_dtype), mask=inside)


def table(copies: Sequence[ScaledCopy]) -> tuple[Tensor, Tensor]:
    """Addresses and sizes of all matrices, and their scales, on their device."""
    rows = [
        (copy.source.data_ptr(), copy.target.data_ptr(), *copy.source.shape, copy.target.stride(0))
        for copy in copies
    ]
    device = copies[0].source.device
    return torch.tensor(rows, device=device), torch.tensor([copy.scale for copy in copies], device=device)


def copy(copies: Sequence[ScaledCopy], addresses: tuple[Tensor, Tensor]) -> None:
    """Make all copies; `addresses` is what `table` gave for them."""
    dtypes = (_TRITON_DTYPES[dtype] for dtype in (copies[0].source.dtype, copies[0].target.dtype))
    largest = max(copy.source.numel() for copy in copies)
    grid = (triton.cdiv(largest, BLOCK), len(copies))
    _scaled_copy[grid](*addresses, *dtypes, block=BLOCK, num_warps=8)
