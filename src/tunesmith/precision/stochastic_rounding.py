"""Stochastic (dithered) rounding of fp32 to bf16, so that small updates of many weights are not lost.

An update moves a weight by less than half the distance of two neighbouring bf16 numbers. Rounded to nearest, weights
that begin as bf16 numbers do not move at all until enough updates have added up, and training learns late. Stochastic
rounding (Gupta et al. 2015) rounds a weight that has moved by a tenth of the distance up with a probability of a tenth,
so that the mean over many weights is exact.

bf16 is the upper half of fp32's bits. Rounding up or down therefore needs no branches: add a threshold of 0 to 65535 to
the bits of the fp32 number, and cut the lower 16 off. The sum carries into the upper half exactly if the threshold and
the lower half together reach 65536. The threshold is not a random number but a hash of the weight's index in its
matrix: every forward pass, its recomputation under activation checkpointing and a resumed run round alike. Numbers that
bf16 can represent have a lower half of zero and stay what they are.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from itertools import count
from typing import Any

import torch
from jaxtyping import Float, Float32, Int32
from torch import Tensor

from tunesmith.precision.kernel_backend import is_shapes_only

PRIME_1, PRIME_2 = 0x9E3779B1, 0x85EBCA77
"""Multipliers of the hash (those of xxHash)."""
LOWER_HALF = 0xFFFF
"""Bits of fp32 that bf16 does not have."""
CHUNK = 2**22
"""Numbers whose thresholds are computed at once by the PyTorch form."""


def round_into(source: Float32[Tensor, "row column"], target: Float[Tensor, "row column"]) -> None:
    """Write fp32 numbers into `target`: stochastically rounded if it is bf16, else as PyTorch converts them."""
    if target.dtype != torch.bfloat16 or is_shapes_only():
        target.copy_(source)
    elif source.is_cuda and importlib.util.find_spec("triton"):
        from tunesmith.precision import stochastic_rounding_triton

        contiguous = source if source.stride(1) == 1 else source.contiguous()
        stochastic_rounding_triton.round_into(contiguous, target)
    else:
        step = max(CHUNK // max(source.shape[1], 1), 1)
        for first, rows, rounded in zip(count(0, step), source.split(step), target.split(step), strict=False):
            bits = rows.contiguous().view(torch.int32) + _thresholds(first, rows.shape, rows.device)
            rounded.copy_((bits & ~LOWER_HALF).view(torch.float32))


@lru_cache(maxsize=16)
def _thresholds(first_row: int, shape: torch.Size, device: torch.device) -> Int32[Tensor, "row column"]:
    """16-bit hashes of the indices of these rows' numbers."""
    begin = first_row * shape[1]
    indices = torch.arange(begin, begin + shape.numel(), device=device).view(shape)
    mixed = (indices * PRIME_1) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 15)) * PRIME_2) & 0xFFFFFFFF
    return ((mixed ^ (mixed >> 13)) & LOWER_HALF).int()


def stochastic_round(x: Float[Tensor, "row column"], dtype: torch.dtype) -> Float[Tensor, "row column"]:
    """`x` in this dtype by `round_into`; gradients pass through and are cast back."""
    return x if x.dtype == dtype else _StochasticRound.apply(x, dtype)  # type: ignore[no-any-return]


class _StochasticRound(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dtype: torch.dtype) -> Tensor:
        ctx.dtype = x.dtype
        out = x.new_empty(x.shape, dtype=dtype)
        round_into(x, out)
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        return grad_outputs[0].to(ctx.dtype), None
