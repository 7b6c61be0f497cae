"""Numbers in fp32 as bf16, rounded up or down so that over many of them nothing is lost.

An update moves a weight by less than half of what separates two numbers in 16 bits. Rounded to the nearest, weights
that begin as such numbers do not move at all until enough updates have come together, and what is trained learns late.
Here each number has a threshold of its own: of many that have moved by a tenth of a step, a tenth is rounded to the
next one (as in stochastic rounding, Gupta et al. 2015). The threshold is a hash of the number's place, so that every
pass, a pass that is done again and a run that goes on see the same, and numbers that 16 bits hold stay what they are.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from itertools import count
from typing import Any

import torch
from jaxtyping import Float, Float32, Int32
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

FIRST, SECOND = 0x9E3779B1, 0x85EBCA77
"""Odd numbers that mix the bits of a place (of xxHash)."""
LOW = 0xFFFF
"""Bits that bf16 does not have."""
AT_ONCE = 2**22
"""Numbers whose thresholds are computed at once where there is no kernel for it."""


def narrowed(wide: Float32[Tensor, "row column"], place: Float[Tensor, "row column"]) -> None:
    """Write the numbers to their place, in its precision: as said above in bf16, else as they are rounded."""
    if place.dtype != torch.bfloat16 or isinstance(wide, FakeTensor):
        place.copy_(wide)
    elif wide.is_cuda and importlib.util.find_spec("triton"):
        from tunesmith.precision import stochastic_rounding_triton

        stochastic_rounding_triton.narrowed(wide if wide.stride(1) == 1 else wide.contiguous(), place)
    else:
        step = max(AT_ONCE // max(wide.shape[1], 1), 1)
        for first, rows, there in zip(count(0, step), wide.split(step), place.split(step), strict=False):
            bits = rows.contiguous().view(torch.int32) + _thresholds(first, rows.shape, rows.device)
            there.copy_((bits & ~LOW).view(torch.float32))


@lru_cache(maxsize=16)
def _thresholds(first: int, shape: torch.Size, device: torch.device) -> Int32[Tensor, "row column"]:
    """From which of the low bits on a number is rounded away from zero: 16 bits of a hash of its place. `first` is the
    number of the first row."""
    begin = first * shape[1]
    places = torch.arange(begin, begin + shape.numel(), device=device).view(shape)
    mixed = (places * FIRST) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 15)) * SECOND) & 0xFFFFFFFF
    return ((mixed ^ (mixed >> 13)) & LOW).int()


def narrow(rows: Float[Tensor, "row column"], dtype: torch.dtype) -> Float[Tensor, "row column"]:
    """The rows in this precision, from fp32 as `narrowed`; their gradient is in theirs."""
    return rows if rows.dtype == dtype else _Narrow.apply(rows, dtype)  # type: ignore[no-any-return]


class _Narrow(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, dtype: torch.dtype) -> Tensor:
        ctx.kind = rows.dtype
        place = rows.new_empty(rows.shape, dtype=dtype)
        narrowed(rows, place)
        return place

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0].to(ctx.kind), None
