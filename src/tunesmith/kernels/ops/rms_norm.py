"""RMS norm (Zhang and Sennrich 2019) and its gradients.

Forward, for a row x of width n:

    rstd = 1 / sqrt(mean(x^2) + eps)
    y    = x * rstd * weight

Backward, given grad_output = dL/dy, with u = x * rstd and g = grad_output * weight:

    dL/dx      = rstd * (g - u * mean(g * u))
    dL/dweight = sum over tokens of grad_output * u

Only x and rstd (one fp32 number per token) are kept for the backward pass; u is recomputed from them. The residual
connection around a norm contributes its own gradient to x, so `rms_norm_backward` adds it in the same pass.

The forward pass rounds where transformers' `RMSNorm` modules round: x * rstd to the input's dtype, and once more after
the multiplication by the weight. Everything else is computed in fp32.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from tunesmith.kernels.ops import Activations, PerToken
from tunesmith.kernels.ops.dispatch import implementation

_NAME = "rms_norm"


def rms_norm(x: Activations, weight: Float[Tensor, " width"], eps: float) -> tuple[Activations, PerToken]:
    """The normalised rows, and `rstd` of each row in fp32."""
    if (kernels := implementation(x, _NAME)) is not None:
        return kernels.rms_norm(x, weight, eps)
    wide = x.float()
    rstd = torch.rsqrt(wide.square().mean(1) + eps)
    return ((wide * rstd[:, None]).to(x.dtype) * weight).to(x.dtype), rstd


def rms_norm_backward(
    grad_output: Activations,
    x: Activations,
    rstd: PerToken,
    weight: Float[Tensor, " width"],
    grad_residual: Activations,
) -> Activations:
    """Gradient of `x`, plus the gradient that arrives through the residual connection."""
    if (kernels := implementation(x, _NAME)) is not None:
        return kernels.rms_norm_backward(grad_output, x, rstd, weight, grad_residual)
    unit = x.float() * rstd[:, None]
    weighted = grad_output.float() * weight.float()
    grad_x = (weighted - unit * (weighted * unit).mean(1, keepdim=True)) * rstd[:, None]
    return (grad_x + grad_residual.float()).to(x.dtype)


def rms_norm_weight_grad(grad_output: Activations, x: Activations, rstd: PerToken) -> Float[Tensor, " width"]:
    """Gradient of the weight, in fp32."""
    if (kernels := implementation(x, _NAME)) is not None:
        return kernels.rms_norm_weight_grad(grad_output, x, rstd)  # type: ignore[no-any-return]
    return (grad_output.float() * x.float() * rstd[:, None]).sum(0)
