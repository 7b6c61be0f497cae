"""Casts to 8-bit floating point with a scale a row, and products of such matrices.

fp8 has few digits and a narrow range (e4m3: 3 bits of mantissa, largest value 448), so a row is divided by a scale
before the cast, such that its largest absolute value becomes the largest that the format can represent:

    scale_i = max_j |x_ij| / 448        x8_ij = round(x_ij / scale_i)        x_ij ~ scale_i * x8_ij

One scale a row (a token, or an output of a weight) costs 4 bytes a row and keeps rows of unlike size apart; one scale
for a whole matrix would round small rows to zero. In a product both operands' scales leave the sum:

    (A B^T)_ij = sum_k a_ik b_jk ~ scale_a_i * scale_b_j * sum_k a8_ik b8_jk

so the tensor cores multiply 8-bit numbers, and the scales are applied to the result. The hardware needs both operands
contiguous along the summed dimension k, so a backward pass, which sums over the other dimension of the weight, needs a
transposed copy of it. Sizes must be multiples of 16 and are padded with zeros.

The functions run anywhere; on a GPU the casts and the transposition are kernels of `fp8_cast_triton`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Float32, Num
from torch import Tensor

MIN_PEAK = 1e-30
"""Rows whose largest absolute value is smaller are scaled as if it were this, so that rows of zeros stay finite."""
MAX_KERNEL_WIDTH = 65536
"""Longest row that a program of the kernel holds in registers."""
MAX_FAST_WIDTH = 8192
"""Longest sums that are accumulated with fewer bits. Over 18,944 summands their error was above 4 % on an H100, that of
full accumulation was not."""
ALIGNMENT = 16
"""Sizes that 8-bit products take are multiples of it."""


class Cast(NamedTuple):
    """A matrix in 8 bits, its width padded with zeros to a multiple of 16."""

    rows: Num[Tensor, "row width"]
    scales: Float32[Tensor, "row 1"]
    """What each row must be multiplied by."""


def padded(width: int) -> int:
    """The next size that an 8-bit product takes.

    >>> padded(3420), padded(3584)
    (3424, 3584)
    """
    return -(-width // ALIGNMENT) * ALIGNMENT


@torch.no_grad()
def cast_rows(
    x: Float[Tensor, "row width"],
    dtype: torch.dtype = torch.float8_e4m3fn,
    factor: Float32[Tensor, " width"] | None = None,
) -> Cast:
    """`x`, with each column multiplied by its factor first, cast row by row."""
    if x.is_cuda and x.shape[1] <= MAX_KERNEL_WIDTH:
        from tunesmith.precision import fp8_cast_triton

        return Cast(*fp8_cast_triton.cast_rows(x, dtype, factor, padded(x.shape[1])))
    values = x.float() if factor is None else x.float() * factor
    largest = torch.finfo(dtype).max
    peaks = values.abs().amax(1, keepdim=True).clamp_min(MIN_PEAK)
    small = (values * (largest / peaks)).to(dtype)
    out = small.new_zeros(x.shape[0], padded(x.shape[1]))
    out[:, : x.shape[1]] = small
    return Cast(out, peaks / largest)


def transposed(matrix: Num[Tensor, "row column"]) -> Num[Tensor, "column row"]:
    """A contiguous copy of an 8-bit matrix with rows and columns exchanged."""
    if matrix.is_cuda:
        from tunesmith.precision import fp8_cast_triton

        return fp8_cast_triton.transposed(matrix)
    return matrix.t().contiguous()


def fp8_matmul_scaled(
    left: Cast,
    right: Num[Tensor, "column width"],
    scales: Float32[Tensor, " column"],
    bias: Float[Tensor, " column"] | None = None,
    fast: bool = True,
) -> Float[Tensor, "row column"]:
    """left right^T with both operands' scales, in bf16.

    `fast` accumulates with fewer bits on a Hopper GPU if rows are short enough. On a CPU the same 8-bit values are
    multiplied in fp32.
    """
    if left.rows.is_cuda:
        return torch._scaled_mm(
            left.rows,
            right.t(),
            scale_a=left.scales,
            scale_b=scales[None],
            bias=bias,
            out_dtype=torch.bfloat16,
            use_fast_accum=fast and left.rows.shape[1] <= MAX_FAST_WIDTH,
        )
    sums = left.rows.float() @ right.float().t() * left.scales * scales
    return (sums if bias is None else sums + bias.float()).bfloat16()
