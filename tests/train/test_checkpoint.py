import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.train.small import examples, stage, trainable
from tunesmith.config.experiment import Optimizer
from tunesmith.errors import DataError
from tunesmith.model.saving import trained_state
from tunesmith.train.batch_plan import BatchPlan
from tunesmith.train.checkpoint import (
    Progress,
    discard_checkpoints,
    latest_checkpoint,
    restore_checkpoint,
    restore_weights,
    save_checkpoint,
    set_damaged_aside,
)
from tunesmith.train.fit import fit
from tunesmith.train.loss import answer_loss
from tunesmith.train.optimizer import build_optimizer


@pytest.mark.parametrize("kind", ["adamw", "adamw-8bit", "adafactor"])
def test_what_is_restored_goes_on_bit_for_bit(tmp_path: Path, kind: str) -> None:
    settings = Optimizer(kind=kind, learning_rate=1e-2)  # type: ignore[arg-type]
    model = trainable(tmp_path)
    updates = BatchPlan.of(stage(), examples(), seed=1)
    optimizer = build_optimizer(model.groups, settings)
    for underway in fit(model, updates, optimizer, settings, answer_loss):
        if underway.result().step == 4:
            save_checkpoint(tmp_path / "checkpoints", model, optimizer, Progress(4, 2, 0.5, 1, 3.0))
    again = trainable(tmp_path)
    optimizer = build_optimizer(again.groups, settings)
    newest = latest_checkpoint(tmp_path / "checkpoints")
    assert newest is not None
    assert restore_checkpoint(newest, again, optimizer) == Progress(4, 2, 0.5, 1, 3.0)
    list(fit(again, updates, optimizer, settings, answer_loss, start=4))
    for name, weight in trained_state(model).items():
        assert torch.equal(weight, trained_state(again)[name])


def test_random_states_are_restored(tmp_path: Path) -> None:
    model = trainable(tmp_path)
    optimizer = build_optimizer(model.groups, Optimizer())
    path = save_checkpoint(tmp_path, model, optimizer, Progress(1))
    drawn = (random.random(), np.random.rand(), torch.rand(1).item())
    restore_checkpoint(path, model, optimizer)
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == drawn


def test_the_last_ones_and_the_best_are_kept(tmp_path: Path) -> None:
    model = trainable(tmp_path)
    optimizer = build_optimizer(model.groups, Optimizer())
    for step in (2, 9, 10, 11):
        save_checkpoint(tmp_path / "checkpoints", model, optimizer, Progress(step))
    discard_checkpoints(tmp_path / "checkpoints", keep=2, best_step=2)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "step-10",
        "step-11",
        "step-2",
    ]


def test_only_the_weights_of_the_best_come_back(tmp_path: Path) -> None:
    model = trainable(tmp_path)
    optimizer = build_optimizer(model.groups, Optimizer())
    path = save_checkpoint(tmp_path, model, optimizer, Progress(1))
    before = {name: weight.clone() for name, weight in trained_state(model).items()}
    for weight in trained_state(model).values():
        weight.add_(1)
    restore_weights(path, model)
    assert all(torch.equal(weight, before[name]) for name, weight in trained_state(model).items())


@pytest.mark.parametrize("damaged", ["weights.safetensors", "optimizer.safetensors", "state.json"])
def test_a_damaged_checkpoint_is_named_with_what_to_do(tmp_path: Path, damaged: str) -> None:
    model = trainable(tmp_path)
    optimizer = build_optimizer(model.groups, Optimizer())
    updates = BatchPlan.of(stage(steps=1, epochs=None), examples(), seed=1)
    list(fit(model, updates, optimizer, Optimizer(), answer_loss))
    path = save_checkpoint(tmp_path, model, optimizer, Progress(1))
    (path / damaged).write_bytes((path / damaged).read_bytes()[:20])
    with pytest.raises(DataError, match=r"step-1: this checkpoint cannot be read .* Delete the folder"):
        restore_checkpoint(path, model, optimizer)


def test_a_folder_without_checkpoints_has_no_latest(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path / "nothing") is None


def flip(path: Path) -> None:
    """Change one bit near the file's end, where the tensors are."""
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)


def saved(folder: Path, *steps: Progress) -> None:
    model = trainable(folder)
    for progress in steps:
        save_checkpoint(folder / "checkpoints", model, build_optimizer(model.groups, Optimizer()), progress)


@pytest.mark.parametrize(
    "name", ["weights.safetensors", "optimizer.safetensors", "random.safetensors", "state.json"]
)
@pytest.mark.parametrize("harm", [flip, Path.unlink, lambda file: file.write_bytes(b"")])
def test_of_checkpoints_with_a_changed_file_the_one_before_is_taken_and_that_is_told(
    tmp_path: Path, name: str, harm: Callable[[Path], object]
) -> None:
    folder = tmp_path / "checkpoints"
    saved(tmp_path, Progress(2), Progress(4), Progress(6))
    assert set_damaged_aside(folder) == ()
    harm(folder / "step-6" / name)
    harm(folder / "step-4" / name)
    told = set_damaged_aside(folder)
    if name == "state.json" and harm is Path.unlink:  # Such a folder is no checkpoint.
        assert told == ()
    else:
        assert [f"step-{step}/{name}" in fault for step, fault in zip((6, 4), told, strict=True)] == [
            True
        ] * 2
    assert latest_checkpoint(folder) == folder / "step-2"


def test_a_checkpoint_whose_best_is_damaged_or_gone_is_not_gone_on_from(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    saved(tmp_path, Progress(2), Progress(4, 4), Progress(6, 4))
    flip(folder / "step-4" / "weights.safetensors")
    assert len(set_damaged_aside(folder)) == 2
    assert latest_checkpoint(folder) == folder / "step-2"
    saved(tmp_path, Progress(8, 6))
    assert "step-6: is not there, but is the best up to step-8" in set_damaged_aside(folder)[0]


def test_weights_of_the_best_that_were_changed_are_not_put_back(tmp_path: Path) -> None:
    saved(tmp_path, Progress(2))
    flip(tmp_path / "checkpoints" / "step-2" / "weights.safetensors")
    with pytest.raises(DataError, match=r"weights\.safetensors: was changed .* Delete the folder"):
        restore_weights(tmp_path / "checkpoints" / "step-2", trainable(tmp_path))
