from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.pipeline.small import QUICK, lora_stage, small_experiment, steps_of
from tunesmith.errors import ExperimentError
from tunesmith.evaluate.resumable_rows import PARTIAL_ROWS
from tunesmith.files import read_json, write_json
from tunesmith.pipeline.context import RunContext
from tunesmith.pipeline.evaluation import _is_evaluated, baseline, evaluation


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    variants = {"one": {"stages.0.epochs": 1}, "two": {"stages.0.epochs": 2}}
    folder = tmp_path_factory.mktemp("steps")
    return small_experiment(folder, stages=[lora_stage()], evaluate=QUICK, variants=variants)


def begun(said: list[str]) -> list[str]:
    """What was done and not only looked up, by the first words that were said."""
    return [text.partition(":")[0] for text in said if not text.startswith("prepare")]


def left_by_training(steps: RunContext) -> Path:
    """A folder as a stage leaves one: here, the base model itself."""
    folder = steps.folder.stage("adapt")
    shutil.copytree(steps.model.path, folder / "model", dirs_exist_ok=True)
    write_json(folder / "claim.json", steps.keys.stages["adapt"])
    return folder


def test_two_variants_with_one_base_share_its_baseline(path: Path) -> None:
    said: list[str] = []
    folders = {baseline(steps_of(path, variant=name, said=said)) for name in ("one", "two")}
    assert begun(said) == ["baseline"]
    (folder,) = folders
    assert read_json(folder / "scores.json")["records"] == 8
    assert len((folder / "rows.jsonl").read_text().splitlines()) == 8


def test_base_and_tuned_model_answer_the_same_records_and_are_compared(path: Path) -> None:
    said: list[str] = []
    steps = steps_of(path, "name=compared", said=said)
    result = left_by_training(steps)
    fingerprint = steps.keys.stages["adapt"]
    folder = evaluation(steps, result, fingerprint)
    assert sorted(begun(said)) == ["baseline", "evaluate"]
    comparison = read_json(folder / "comparison.json")
    assert comparison["records"] == 8
    assert comparison["metrics"]["accuracy"]["change"] == 0
    assert comparison["metrics"]["accuracy"]["verdict"] == "no clear change"
    said.clear()
    again = steps_of(path, "name=compared", said=said)
    evaluation(again, result, fingerprint)
    assert begun(said) == []


def test_answers_of_other_settings_are_neither_wiped_nor_gone_on_with(path: Path) -> None:
    steps = steps_of(path, "name=kept")
    folder = evaluation(steps, left_by_training(steps), "weights")
    (folder / "key.json").write_text('"of other weights"')
    other = steps_of(path, "name=kept")
    assert other.folder.name == "main@2"
    assert (folder / "scores.json").exists()


def test_an_interrupted_evaluation_of_the_same_settings_goes_on(path: Path) -> None:
    steps = steps_of(path, "name=interrupted")
    result = left_by_training(steps)
    folder = evaluation(steps, result, "weights")
    (folder / "scores.json").unlink()
    (folder / "kept.txt").write_text("of the same weights")
    evaluation(steps, result, "weights")
    assert (folder / "kept.txt").exists()
    assert (folder / "scores.json").exists()


def test_a_metric_that_the_engine_cannot_give_is_refused_by_name(path: Path) -> None:
    with pytest.raises(ExperimentError, match=r"'rouge_l' needs"):
        baseline(steps_of(path, "evaluate.metrics=[rouge_l]", "name=refused"))


def test_an_evaluation_that_stopped_before_its_hashes_were_written_is_not_finished(tmp_path: Path) -> None:
    said: list[str] = []
    run = object.__new__(RunContext)
    object.__setattr__(run, "say", said.append)
    (tmp_path / "rows.jsonl").write_text("{}")
    (tmp_path / "scores.json").write_text("{}")
    assert _is_evaluated(run, tmp_path)
    (tmp_path / PARTIAL_ROWS).write_text("{}")
    assert not _is_evaluated(run, tmp_path)
    assert not said
