from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from safetensors.numpy import load_file

from tests.pipeline.small import QUICK, short, small_experiment, steps_of
from tunesmith.files import read_json
from tunesmith.pipeline.context import RunContext
from tunesmith.pipeline.resume import TrainingResult
from tunesmith.pipeline.stage import train


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_experiment(tmp_path_factory.mktemp("training"), stages=[short()], evaluate=QUICK)


def trained(steps: RunContext) -> TrainingResult:
    return train(steps, Console(quiet=True))


@pytest.fixture(scope="module")
def two_from_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    stages = [short(name="first", steps=1), short(name="second", steps=1, **{"from": "base"})]
    path = small_experiment(tmp_path_factory.mktemp("two"), stages=stages, evaluate=QUICK)
    trained(steps_of(path))
    return path


def adapter(path: Path, stage: str) -> dict[str, Any]:
    return load_file(steps_of(path).folder.stage(stage) / "adapter" / "adapter_model.safetensors")


def test_two_stages_from_the_base_start_alike_and_the_lineage_says_so(two_from_base: Path) -> None:
    lineage = read_json(steps_of(two_from_base).folder.path / "lineage.json")
    assert [entry["started_from"] for entry in lineage] == ["base", "base"]
    assert lineage[0]["started_from_key"] == lineage[1]["started_from_key"]
    first, second = adapter(two_from_base, "first"), adapter(two_from_base, "second")
    assert first.keys() == second.keys()
    assert any((first[name] != second[name]).any() for name in first)


def test_a_stage_from_the_base_is_what_it_would_be_whatever_came_before(
    two_from_base: Path, tmp_path: Path
) -> None:
    before = adapter(two_from_base, "second")
    done = steps_of(two_from_base).folder.stage("second") / "done.json"
    written = done.stat().st_mtime_ns
    trained(steps_of(two_from_base, "stages.0.optimizer.learning_rate=0.1"))
    assert done.stat().st_mtime_ns == written
    other = small_experiment(
        tmp_path,
        stages=[
            short(name="first", steps=2, where="stage == 1"),
            short(name="second", steps=1, **{"from": "base"}),
        ],
        evaluate=QUICK,
    )
    trained(steps_of(other))
    after = adapter(other, "second")
    assert all((before[name] == after[name]).all() for name in before)


def test_what_training_leaves_tells_steps_size_and_what_was_trained(two_from_base: Path) -> None:
    folder = steps_of(two_from_base).folder
    done = read_json(folder.stage("second") / "done.json")
    assert done["steps"] == 1
    assert done["bytes"] == sum(file.stat().st_size for file in folder.stage("second").glob("adapter/*.saf*"))
    (part,) = read_json(folder.stage("second") / "parts.json")
    assert (part["part"], part["method"]) == ("language", "lora")
    assert read_json(folder.path / "audit.json")["samples"] == 200
