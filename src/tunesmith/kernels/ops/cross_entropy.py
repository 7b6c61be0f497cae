"""The loss of many logits without copies of them in fp32: they are read once forward, and in the backward pass read
once and written over with their gradient."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tunesmith.kernels.ops.pointwise import nats, through_nats


def cross_entropy(logits: Float[Tensor, "row class"], targets: Int[Tensor, " row"]) -> Float[Tensor, ""]:
    """Sum over the rows of -ln softmax(logits)[target], in fp32. The logits must not be used again."""
    return _CrossEntropy.apply(logits, targets)  # type: ignore[no-any-return]


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        each, logarithms = nats(logits, targets)
        ctx.save_for_backward(logits, targets, logarithms)
        return each.sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return through_nats(gradients[0], *ctx.saved_tensors), None
