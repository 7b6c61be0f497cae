"""Rounding that loses nothing over many numbers."""

from __future__ import annotations

import pytest
import torch

from tunesmith.precision.stochastic_rounding import round_into, stochastic_round

DEVICES = ["cpu", *["cuda"] * torch.cuda.is_available()]


def in_16_bits(wide: torch.Tensor) -> torch.Tensor:
    place = torch.empty_like(wide, dtype=torch.bfloat16)
    round_into(wide, place)
    return place


@pytest.mark.parametrize("device", DEVICES)
def test_what_16_bits_hold_stays_what_it_is(device: str) -> None:
    torch.manual_seed(0)
    exact = torch.randn(40, 300, device=device).bfloat16()
    exact[0, :4] = torch.tensor([0.0, float("inf"), -float("inf"), -0.0])
    assert torch.equal(in_16_bits(exact.float()), exact)
    assert in_16_bits(torch.full((1, 1), float("nan"), device=device)).isnan().all()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("share", [-0.3, -0.02, 0.1, 0.5])
def test_of_a_small_move_nothing_is_lost_over_many(device: str, share: float) -> None:
    torch.manual_seed(0)
    # Between 1 and 2, two numbers in 16 bits are 1/128 apart.
    exact = (1 + torch.rand(300, 400, device=device)).bfloat16().float().clamp(1 + 1 / 128, 2 - 2 / 128)
    moved = in_16_bits(exact + share / 128).float() - exact
    assert set((moved * 128).unique().tolist()) == {0.0, 1.0 if share > 0 else -1.0}
    assert moved.mean().item() * 128 == pytest.approx(share, abs=0.003)
    assert (moved.mean(0) * 128).std() < 0.04
    assert (exact + 0.4 * share / 128).bfloat16().float().equal(exact)  # to the nearest, all of it is


def test_gradients_pass_in_the_precision_of_what_came_in() -> None:
    rows = torch.randn(5, 7, requires_grad=True)
    out = stochastic_round(rows, torch.bfloat16)
    assert out.dtype == torch.bfloat16
    (gradient,) = torch.autograd.grad(out, rows, torch.full_like(out, 0.5))
    assert gradient.dtype == torch.float32
    assert (gradient == 0.5).all()
    assert stochastic_round(rows, torch.float32) is rows


def test_only_the_given_place_is_written_to() -> None:
    place = torch.full((6, 9), 7.0, dtype=torch.bfloat16)
    round_into(torch.ones(4, 5), place[1:5, 2:7])
    assert (place[1:5, 2:7] == 1).all()
    assert place.float().sum() == 4 * 5 + 7 * (6 * 9 - 4 * 5)
