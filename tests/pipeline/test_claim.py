from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.small import QUICK, lora_stage, small_experiment, steps_of
from tunesmith import load_experiment
from tunesmith.files import read_json
from tunesmith.pipeline.claim import write_down
from tunesmith.pipeline.context import RunContext


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    variants = {"one": {"stages.0.epochs": 1}, "two": {"stages.0.epochs": 2}}
    folder = tmp_path_factory.mktemp("steps")
    return small_experiment(folder, stages=[lora_stage()], evaluate=QUICK, variants=variants)


@pytest.mark.parametrize(
    "override",
    [
        "task.prompt=What? {text}",
        "task.num_shots=1",
        "seed=3",
        "data.split.seed=3",
        "evaluate.max_test_records=9",
        "model.weights=bf16",
    ],
)
def test_a_changed_question_sample_split_or_model_makes_a_new_baseline(path: Path, override: str) -> None:
    folders = {run_json(steps_of(path, *overrides))["base"] for overrides in ([], [override])}
    assert len(folders) == 2


@pytest.mark.parametrize(
    "override",
    [
        "stages.0.optimizer.learning_rate=1e-5",
        "stages.0.epochs=9",
        "model.checkpointing=true",
        "evaluate.every=1 epoch",
        "checkpoints.num_to_keep=3",
    ],
)
def test_what_only_training_uses_needs_no_new_baseline(path: Path, override: str) -> None:
    folders = {run_json(steps_of(path, *overrides))["base"] for overrides in ([], [override])}
    assert len(folders) == 1


def run_json(steps: RunContext) -> dict[str, Any]:
    write_down(steps)
    written: dict[str, Any] = read_json(steps.folder.path / "run.json")
    return written


def test_another_model_in_the_same_folder_makes_a_new_baseline(tmp_path: Path) -> None:
    path = small_experiment(tmp_path, stages=[lora_stage()], evaluate=QUICK)
    before = run_json(steps_of(path))["base"]
    (tmp_path / "model" / "model.safetensors").write_bytes(b"another")
    assert run_json(steps_of(path))["base"] != before


def test_what_is_written_down_reads_back_as_the_experiment_and_leads_to_data_and_baseline(path: Path) -> None:
    steps = steps_of(path, "seed=5", variant="one")
    base = steps.shared.base("")
    write_down(steps)
    folder = steps.folder.path
    assert folder == path.parent / "runs" / "small" / "one"
    assert load_experiment(folder / "experiment.yaml") == steps.experiment
    told = read_json(folder / "run.json")
    assert (told["experiment"], told["variant"], told["number"]) == ("small", "one", 1)
    assert (folder / told["data"] / "manifest.json").resolve() == steps.prepared.folder / "manifest.json"
    assert (folder / told["base"]).resolve().parent == base.parent.resolve()
    assert "torch" in read_json(folder / "environment.json")["versions"]
