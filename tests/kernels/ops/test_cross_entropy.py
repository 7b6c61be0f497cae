"""The loss beside PyTorch's own, value and gradient; Triton's kernels stand in `test_fused_triton`."""

from __future__ import annotations

import torch
from torch.nn import functional

from tunesmith.kernels.ops.cross_entropy import cross_entropy


def test_loss_and_gradient_are_pytorchs() -> None:
    torch.manual_seed(0)
    logits = torch.randn(7, 30, requires_grad=True)
    targets = torch.randint(30, (7,))
    found, wanted = cross_entropy(logits, targets), functional.cross_entropy(logits, targets, reduction="sum")
    torch.testing.assert_close(found, wanted)
    gradients = [torch.autograd.grad(loss / 3, logits)[0] for loss in (found, wanted)]
    torch.testing.assert_close(*gradients)


def test_in_16_bits_sums_are_as_exact_as_in_32() -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, 1000).bfloat16().requires_grad_()
    targets = torch.randint(1000, (5,))
    loss = cross_entropy(logits, targets)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, functional.cross_entropy(logits.float(), targets, reduction="sum"))
    (found,) = torch.autograd.grad(loss, logits)
    assert found.dtype == torch.bfloat16


def test_nothing_predicted_is_no_loss() -> None:
    assert cross_entropy(torch.zeros(0, 9), torch.zeros(0, dtype=torch.int64)).item() == 0
