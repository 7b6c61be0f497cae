"""Triton kernels of `cross_entropy` (see there for the mathematics).

Layout: logits are a (row, class) matrix with contiguous classes; rows may be further apart than their width.

The forward pass reads a row once, in blocks of 4,096 logits, with the online softmax of Milakov and Gimelshein (2018):
next to the running maximum m it keeps the sum of exp(z - m) and rescales that sum whenever m grows. A row is one
program because its sum is sequential; a vocabulary of 150,000 needs 37 blocks. The backward pass has no sums, so every
block of a row is a program of its own.
"""

from __future__ import annotations

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.graph import increment_version

BLOCK = 4096


# The run-time checks of signatures in tests would hide the source that Triton compiles.
@triton.jit
@no_type_check
def _cross_entropy_forward(logits, targets, losses, logsumexp, stride, width, block: tl.constexpr):
    """Reduce one row. Inputs: logits (row, width) with row stride `stride`, targets (row,) of integers.

    Written: losses and logsumexp (row,) in fp32.
    """
    row = tl.program_id(0).to(tl.int64)
    logits += row * stride
    maximum = float("-inf")
    total = 0.0
    for start in tl.range(0, width, block):
        column = start + tl.arange(0, block)
        values = tl.load(logits + column, mask=column < width, other=float("-inf")).to(tl.float32)
        larger = tl.maximum(maximum, tl.max(values, axis=0))
        total = total * tl.exp(maximum - larger) + tl.sum(tl.exp(values - larger), axis=0)
        maximum = larger
    logarithm = maximum + tl.log(total)
    tl.store(logsumexp + row, logarithm)
    tl.store(losses + row, logarithm - tl.load(logits + tl.load(targets + row)).to(tl.float32))


@triton.jit
@no_type_check
def _cross_entropy_backward(grad_output, logits, targets, logsumexp, stride, width, block: tl.constexpr):
    """Overwrite one block of one row of the logits by its gradient.

    Inputs: grad_output, a single fp32 number; logits, targets and logsumexp as in the forward pass.
    """
    row = tl.program_id(1).to(tl.int64)
    column = tl.program_id(0) * block + tl.arange(0, block)
    logits += row * stride
    loaded = tl.load(logits + column, mask=column < width, other=0.0)
    grad = tl.exp(loaded.to(tl.float32) - tl.load(logsumexp + row))
    grad = tl.where(column == tl.load(targets + row), grad - 1.0, grad)
    tl.store(logits + column, (grad * tl.load(grad_output)).to(loaded.dtype), mask=column < width)


def cross_entropy_forward(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Triton form of `cross_entropy.cross_entropy_forward`."""
    num_rows, width = logits.shape
    losses = logits.new_empty(num_rows, dtype=torch.float32)
    logsumexp = torch.empty_like(losses)
    if num_rows:
        _cross_entropy_forward[(num_rows,)](
            logits, targets, losses, logsumexp, logits.stride(0), width, block=BLOCK, num_warps=8
        )
    return losses, logsumexp


def cross_entropy_backward(grad_output: Tensor, logits: Tensor, targets: Tensor, logsumexp: Tensor) -> Tensor:
    """Triton form of `cross_entropy.cross_entropy_backward`; overwrites the logits."""
    increment_version(logits)
    num_rows, width = logits.shape
    if num_rows:
        _cross_entropy_backward[(triton.cdiv(width, BLOCK), num_rows)](
            grad_output, logits, targets, logsumexp, logits.stride(0), width, block=BLOCK, num_warps=8
        )
    return logits
