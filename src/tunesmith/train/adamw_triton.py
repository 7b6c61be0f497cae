"""The kernel of `adamw`, for a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float32
from torch import Tensor

BLOCK = 2048
"""Numbers of one program."""


# What checks signatures in tests would hide the source that Triton compiles.
@triton.jit
@no_type_check
def _move(
    weight, gradient, mean, square, scale, size, decay, share, beta_of_square, share_of_square, rate, root, epsilon,
    block: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside = at < size
    slope = tl.load(gradient + at, mask=inside, other=0.0) * tl.load(scale)
    old = tl.load(mean + at, mask=inside, other=0.0)
    new = old + (slope - old) * share
    squared = tl.load(square + at, mask=inside, other=0.0) * beta_of_square
    squared += slope * slope * share_of_square
    moved = tl.load(weight + at, mask=inside, other=0.0) * decay
    moved -= rate * new / (tl.sqrt(squared) / root + epsilon)
    tl.store(mean + at, new, mask=inside)
    tl.store(square + at, squared, mask=inside)
    tl.store(weight + at, moved, mask=inside)


@torch.no_grad()
def move(
    weight: Float32[Tensor, "*size"],
    gradient: Float32[Tensor, "*size"],
    mean: Float32[Tensor, "*size"],
    square: Float32[Tensor, "*size"],
    scale: Float32[Tensor, ""],
    step: int,
    group: Mapping[str, Any],
) -> None:
    """Do the update with number `step`, from 1 on, of a weight and of both its means; all have their numbers side by
    side. The gradient is taken times the scale. `group` are the settings as PyTorch's optimizers name them."""
    rate, (beta, beta_of_square), size = group["lr"], group["betas"], weight.numel()
    # In double precision, before they become fp32.
    rest, root = rate / (1 - beta**step), (1 - beta_of_square**step) ** 0.5
    _move[(triton.cdiv(size, BLOCK),)](
        weight, gradient, mean, square, scale, size, 1 - rate * group["weight_decay"],
        1 - beta, beta_of_square, 1 - beta_of_square, rest, root, group["eps"], block=BLOCK, num_warps=8,
    )  # fmt: skip
