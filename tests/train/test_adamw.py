"""Updates beside those of PyTorch's optimizer and clipping; on a GPU large weights are moved by the kernel."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tunesmith.train.adamw import LARGE, AdamW
from tunesmith.train.optimizer import clipped_step

DEVICES = ["cpu", *["cuda"] * torch.cuda.is_available()]
SETTINGS = {"lr": 0.01, "weight_decay": 0.1}


def weights(device: str) -> list[nn.Parameter]:
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(size).to(device)) for size in (LARGE + 5, 7, 300)]


def set_gradients(of: list[nn.Parameter], step: int) -> None:
    torch.manual_seed(step)
    for weight in of[:2]:
        weight.grad = torch.randn(weight.shape).to(weight.device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("clip", [1.0, 1e9, None])
def test_updates_are_pytorchs_also_after_a_checkpoint(device: str, clip: float | None) -> None:
    ours, theirs = weights(device), weights(device)
    optimizer = AdamW([{"params": ours}], **SETTINGS)
    plain = torch.optim.AdamW(theirs, fused=True, **SETTINGS)
    for step in range(4):
        set_gradients(ours, step)
        set_gradients(theirs, step)
        norm = clipped_step(optimizer, ours, clip)
        wanted = torch.nn.utils.clip_grad_norm_(theirs, clip or float("inf"))
        plain.step()
        torch.testing.assert_close(norm, wanted)
        if step == 1:
            saved = optimizer.state_dict()
            optimizer = AdamW([{"params": ours}], **SETTINGS)
            optimizer.load_state_dict(saved)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert {"step", "exp_avg", "exp_avg_sq"} == set(optimizer.state[ours[0]])
    assert int(optimizer.state[ours[0]]["step"]) == 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the kernel runs on a GPU only")
def test_on_a_gpu_large_weights_are_moved_and_their_gradients_taken() -> None:
    given = weights("cuda")
    set_gradients(given, 0)
    before = [weight.detach().clone() for weight in given]
    AdamW([{"params": given}], **SETTINGS).move_large(torch.ones((), device="cuda"))
    assert given[0].grad is None
    assert given[1].grad is not None
    assert not torch.equal(given[0], before[0])
    assert torch.equal(given[1], before[1])
