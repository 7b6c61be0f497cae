"""What the whole functions keep for the backward pass; that they are right stands in `test_exchange`."""

from __future__ import annotations

import torch
from torch import nn

from tunesmith.kernels.fusion.fused_layers import GatedMlp, Norm
from tunesmith.kernels.fusion.fused_linear import Copies, fan

TOKENS, WIDTH, INNER = 5, 8, 16


def mlp() -> GatedMlp:
    layers = [nn.Linear(WIDTH, INNER), nn.Linear(WIDTH, INNER), nn.Linear(INNER, WIDTH)]
    for layer in layers:
        layer.double().requires_grad_(False)
    opening, closing = fan(layers[:2], Copies(), torch.double), fan(layers[2:], Copies(), torch.double)
    assert opening is not None
    assert closing is not None
    return GatedMlp(Norm(torch.randn(WIDTH, dtype=torch.double), 1e-5), opening, closing)


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
