from __future__ import annotations

from pathlib import Path

import pytest

from tests.model.fixtures import tiny, train
from tunesmith.methods.lora import Lora
from tunesmith.model.checkpointing import RECOMPUTED, Level, checkpoint
from tunesmith.model.trainable import Trainable, make_trainable


def made(folder: Path, *levels: Level) -> Trainable:
    trainable = make_trainable(tiny(folder), {"language": Lora()}, seed=0)
    for level in levels:
        checkpoint(trainable.loaded.model, level)
    return trainable


def test_every_level_gives_the_same_losses(tmp_path: Path) -> None:
    losses = {level: train(made(tmp_path, level)) for level in RECOMPUTED}
    assert losses["full"] == pytest.approx(losses["none"], abs=1e-6)
    assert losses["full"][-1] < losses["full"][0]


def test_a_level_can_be_taken_back(tmp_path: Path) -> None:
    for levels, wanted in ((("full",), True), (("full", "none"), False), (("none",), False)):
        found = made(tmp_path, *levels).loaded.model.modules()
        assert any(vars(module).get("gradient_checkpointing") for module in found) is wanted


def test_levels_go_from_the_fastest_to_the_smallest() -> None:
    assert list(RECOMPUTED) == ["none", "full"]
    assert list(RECOMPUTED.values()) == sorted(RECOMPUTED.values())
