from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.model.fixtures import tiny, train
from tunesmith.kernels.fusion.patch import apply_fused_layers
from tunesmith.methods.lora import Lora
from tunesmith.model.checkpointing import LEVELS, Level, checkpoint
from tunesmith.model.trainable import Trainable, make_trainable


def made(folder: Path, *levels: Level) -> Trainable:
    trainable = make_trainable(tiny(folder, device="cpu"), {"language": Lora()}, seed=0)
    for level in levels:
        checkpoint(trainable.loaded.model, level)
    return trainable


def test_every_level_gives_the_same_losses(tmp_path: Path) -> None:
    losses = {level: train(made(tmp_path, level)) for level in LEVELS}
    for level in LEVELS[1:]:
        assert losses[level] == pytest.approx(losses["none"], abs=1e-6)
    assert losses["full"][-1] < losses["full"][0]


def test_a_level_can_be_taken_back(tmp_path: Path) -> None:
    for levels, wanted in ((("full",), True), (("full", "none"), False), (("none",), False)):
        found = made(tmp_path, *levels).loaded.model.modules()
        assert any(vars(module).get("gradient_checkpointing") for module in found) is wanted


def bytes_kept(folder: Path, level: Level) -> int:
    """By a forward pass of fused layers."""
    trainable = make_trainable(tiny(folder, device="cpu"), {"language": Lora()}, seed=0)
    apply_fused_layers(trainable.loaded.model, trainable.loaded.family, torch.float32)
    checkpoint(trainable.loaded.model, level)
    kept = 0

    def count(saved: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += saved.nbytes
        return saved

    with torch.autograd.graph.saved_tensors_hooks(count, lambda saved: saved):
        train(trainable)
    return kept


def test_selective_keeps_less_than_none_where_layers_are_fused(tmp_path: Path) -> None:
    assert bytes_kept(tmp_path, "selective") < 0.9 * bytes_kept(tmp_path, "none")
