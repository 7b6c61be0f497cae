"""Rows of a matrix in 8-bit floating point, each with a scale of its own: what an 8-bit product is made from.

The functions here run anywhere; on a GPU their work is done by the kernels of `casts_triton` in one pass each.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Float32, Num
from torch import Tensor

LEAST = 1e-30
"""A row whose largest value is below is scaled as if it were this."""
WIDEST = 65536
"""Most values of a row that one program of the kernel holds."""
SHORT_SUM = 8192
"""Widths over which sums with fewer bits are good enough: over 18,944 their error was beyond 4 % on an H100, that of
whole sums was not."""
STEP = 16
"""Sizes that the products take are multiples of it."""


class Cast(NamedTuple):
    """Rows in 8 bits, filled up with zeros to a multiple of 16, and what each row must be multiplied by."""

    rows: Num[Tensor, "row width"]
    scales: Float32[Tensor, "row 1"]


def padded(width: int) -> int:
    """The next size that an 8-bit product takes.

    >>> padded(3420), padded(3584)
    (3424, 3584)
    """
    return -(-width // STEP) * STEP


@torch.no_grad()
def cast_rows(
    rows: Float[Tensor, "row width"],
    dtype: torch.dtype = torch.float8_e4m3fn,
    factor: Float32[Tensor, " width"] | None = None,
) -> Cast:
    """The rows, after each column is multiplied by its factor, in 8 bits: the largest value of a row becomes the
    largest that `dtype` has."""
    if rows.is_cuda and rows.shape[1] <= WIDEST:
        from tunesmith.precision import fp8_cast_triton

        return Cast(*fp8_cast_triton.cast_rows(rows, dtype, factor, padded(rows.shape[1])))
    values = rows.float() if factor is None else rows.float() * factor
    largest = torch.finfo(dtype).max
    peaks = values.abs().amax(1, keepdim=True).clamp_min(LEAST)
    small = (values * (largest / peaks)).to(dtype)
    filled = small.new_zeros(rows.shape[0], padded(rows.shape[1]))
    filled[:, : rows.shape[1]] = small
    return Cast(filled, peaks / largest)


def transposed(matrix: Num[Tensor, "row column"]) -> Num[Tensor, "column row"]:
    """A copy of an 8-bit matrix with rows and columns exchanged, laid out row by row."""
    if matrix.is_cuda:
        from tunesmith.precision import fp8_cast_triton

        return fp8_cast_triton.transposed(matrix)
    return matrix.t().contiguous()


def product(
    left: Cast,
    right: Num[Tensor, "column width"],
    scales: Float32[Tensor, " column"],
    bias: Float[Tensor, " column"] | None = None,
    fast: bool = True,
) -> Float[Tensor, "row column"]:
    """Rows times the rows of `right`, each with its scale, in bf16. `fast` sums with fewer bits on a Hopper GPU where
    rows are short enough. Without a GPU the same values are multiplied in fp32."""
    if left.rows.is_cuda:
        return torch._scaled_mm(
            left.rows,
            right.t(),
            scale_a=left.scales,
            scale_b=scales[None],
            bias=bias,
            out_dtype=torch.bfloat16,
            use_fast_accum=fast and left.rows.shape[1] <= SHORT_SUM,
        )
    sums = left.rows.float() @ right.float().t() * left.scales * scales
    return (sums if bias is None else sums + bias.float()).bfloat16()
