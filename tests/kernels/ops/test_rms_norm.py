"""RMS norm and its gradients, compared with PyTorch's."""

from __future__ import annotations

import torch
from torch.nn import functional

from tests.kernels.ops.comparing import assert_close, random
from tunesmith.kernels.ops.rms_norm import rms_norm, rms_norm_backward, rms_norm_weight_grad


def test_the_norm_and_its_gradients_are_pytorchs() -> None:
    torch.manual_seed(0)
    x, weight, grad_output, grad_residual = random(5, 8), random(8), random(5, 8), random(5, 8)
    x.requires_grad_()
    weight.requires_grad_()
    expected = functional.rms_norm(x, (8,), weight, 1e-5)
    expected.backward(grad_output)
    weight.requires_grad_(False)
    out, rstd = rms_norm(x.detach(), weight, 1e-5)
    assert_close(out, expected.detach())
    assert x.grad is not None
    grad_x = rms_norm_backward(grad_output, x.detach(), rstd, weight, grad_residual)
    assert_close(grad_x, x.grad + grad_residual)
    assert weight.grad is not None
    assert_close(rms_norm_weight_grad(grad_output, x.detach(), rstd), weight.grad)
