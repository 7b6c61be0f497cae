"""Cross-entropy over a large vocabulary without fp32 copies of the logits.

Forward, for a row z of logits with target t:

    loss = logsumexp(z) - z[t]

Backward, given the gradient g of the summed loss:

    dL/dz = g * (softmax(z) - onehot(t))

softmax(z) = exp(z - logsumexp(z)), so the forward pass keeps one fp32 number per row next to the logits themselves.
The logits are the largest tensor of a training step; the backward pass overwrites them with their gradient instead of
allocating a second one.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tunesmith.kernels.ops import Activations, PerToken
from tunesmith.kernels.ops.dispatch import implementation

_NAME = "cross_entropy"


def cross_entropy(logits: Float[Tensor, "row class"], targets: Int[Tensor, " row"]) -> Float[Tensor, ""]:
    """Sum over the rows of -ln softmax(logits)[target], in fp32. The logits must not be used afterwards."""
    return _CrossEntropy.apply(logits, targets)  # type: ignore[no-any-return]


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        losses, logsumexp = cross_entropy_forward(logits, targets)
        ctx.save_for_backward(logits, targets, logsumexp)
        return losses.sum()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        return cross_entropy_backward(grad_outputs[0], *ctx.saved_tensors), None


def cross_entropy_forward(logits: Activations, targets: Int[Tensor, " token"]) -> tuple[PerToken, PerToken]:
    """Loss and logsumexp of every row, in fp32."""
    if (kernels := implementation(logits, _NAME)) is not None:
        return kernels.cross_entropy_forward(logits, targets)
    logsumexp = logits.float().logsumexp(1)
    return logsumexp - logits.float().gather(1, targets.long()[:, None])[:, 0], logsumexp


def cross_entropy_backward(
    grad_output: Float[Tensor, ""], logits: Activations, targets: Int[Tensor, " token"], logsumexp: PerToken
) -> Activations:
    """Gradient of the logits, given the gradient of the summed loss. The logits may be overwritten."""
    if (kernels := implementation(logits, _NAME)) is not None:
        return kernels.cross_entropy_backward(grad_output, logits, targets, logsumexp)
    grad_logits = (logits.float() - logsumexp[:, None]).exp()
    grad_logits.scatter_add_(1, targets.long()[:, None], -torch.ones_like(grad_logits[:, :1]))
    return (grad_logits * grad_output).to(logits.dtype)
