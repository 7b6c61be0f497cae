"""A call means the run of its settings; with others it begins a new one, and no run is ever changed by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.small import QUICK, short, small_experiment, steps_of
from tunesmith.pipeline.keys import base_identity, stage_key


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_experiment(tmp_path_factory.mktemp("keys"), stages=[short()], evaluate=QUICK)


@pytest.mark.parametrize(
    "override",
    [
        "seed=18",
        "model.weights=bf16",
        "model.attention=eager",
        "data.split.seed=18",
        "data.split.validation=41",
        "data.length.max_tokens=500",
        "data.length.over=drop",
        "task.prompt=What? {text}",
        "task.system=Be brief.",
        "task.num_shots=1",
        "task.answer=json",
        "stages.0.steps=3",
        "stages.0.batch.num_examples=8",
        "stages.0.batch.max_tokens_per_microbatch=512",
        "stages.0.optimizer.learning_rate=1e-3",
        "stages.0.optimizer.schedule=linear",
        "stages.0.optimizer.weight_decay=0.1",
        "stages.0.parts.language.rank=4",
        "stages.0.parts.language.dropout=0",
        "stages.0.parts.language={kind: full}",
        "stages.0.where=stage == 1",
        "stages.0.order=text",
        "stages.0.group_by=text",
        "stages.0.loss_on=all",
        "evaluate.every=1 steps",
    ],
)
def test_a_stage_is_trained_anew_when_a_setting_changes_that_decides_its_weights(
    path: Path, override: str
) -> None:
    assert key(path, override) != key(path)


@pytest.mark.parametrize(
    "override",
    [
        "name=another",
        "checkpoints.every=1 steps",
        "checkpoints.num_to_keep=3",
        "model.checkpointing=true",
        "track=[{kind: tensorboard}]",
        "evaluate.max_test_records=5",
        "evaluate.num_resamples=500",
        "evaluate.max_validation_records=5",
        "evaluate.engine={kind: generate}",
    ],
)
def test_a_stage_is_not_trained_again_for_a_setting_that_leaves_its_weights_alone(
    path: Path, override: str
) -> None:
    assert key(path, override) == key(path)


@pytest.mark.parametrize(
    "override",
    [
        "evaluate.every=2 steps",
        "evaluate.max_validation_records=7",
        "evaluate.patience=3",
        "evaluate.metric=log_loss",
        "evaluate.engine={kind: generate}",
    ],
)
def test_with_evaluations_during_training_what_chooses_the_best_checkpoint_decides_the_weights(
    path: Path, override: str
) -> None:
    every = "evaluate.every=1 steps"
    assert key(path, every, override) != key(path, every)
    assert key(path, every, "evaluate.num_resamples=500", "evaluate.max_test_records=5") == key(path, every)


def test_a_stage_is_trained_anew_when_what_it_starts_from_or_its_place_changes(path: Path) -> None:
    keys = {
        key(path),
        key(path, number=1),
        key(path, before="one"),
        key(path, before="two"),
    }
    assert len(keys) == 4


def key(path: Path, *overrides: str, number: int = 0, before: str | None = None) -> str:
    steps = steps_of(path, *overrides)
    checksum = steps.prepared.certificate.checksum
    stage, base = steps.experiment.stages[0], base_identity(steps.model)
    return stage_key(steps.experiment, stage, number, before, base, checksum)
