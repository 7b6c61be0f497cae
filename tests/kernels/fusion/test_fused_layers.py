"""What fused layers keep for the backward pass; that they are right is tested in `test_patch`."""

from __future__ import annotations

import torch
from torch import nn

from tunesmith.kernels.fusion.fused_layers import GatedMlp, RmsNorm
from tunesmith.kernels.fusion.fused_linear import fuse_linears
from tunesmith.kernels.ops.scaled_copy import ScaledCopies

TOKENS, WIDTH, INNER = 5, 8, 16


def mlp() -> GatedMlp:
    layers = [nn.Linear(WIDTH, INNER), nn.Linear(WIDTH, INNER), nn.Linear(INNER, WIDTH)]
    for layer in layers:
        layer.double().requires_grad_(False)
    opening, closing = (
        fuse_linears(layers[:2], ScaledCopies(), torch.double),
        fuse_linears(layers[2:], ScaledCopies(), torch.double),
    )
    assert opening is not None
    assert closing is not None
    return GatedMlp(RmsNorm(torch.randn(WIDTH, dtype=torch.double), 1e-5), opening, closing)


def test_gradients_are_those_of_finite_differences() -> None:
    torch.manual_seed(0)
    hidden = torch.randn(TOKENS, WIDTH, dtype=torch.double, requires_grad=True)
    # The norm is computed in fp32.
    assert torch.autograd.gradcheck(mlp(), hidden, eps=1e-3, atol=1e-2, rtol=1e-2)


def test_a_gated_mlp_keeps_its_input_and_two_products_and_no_more() -> None:
    kept: list[int] = []
    hidden = torch.randn(TOKENS, WIDTH, dtype=torch.double, requires_grad=True)

    def note(saved: torch.Tensor) -> torch.Tensor:
        kept.append(saved.numel())
        return saved

    with torch.autograd.graph.saved_tensors_hooks(note, lambda saved: saved):
        mlp()(hidden)
    assert sum(kept) == TOKENS * (WIDTH + 1 + 2 * INNER)
