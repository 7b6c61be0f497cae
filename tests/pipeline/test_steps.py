from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.small import QUICK, lora_stage, small_experiment, steps_of
from tunesmith import load_experiment
from tunesmith.errors import DataError, ExperimentError
from tunesmith.files import read_json, write_json
from tunesmith.pipeline.steps import Steps
from tunesmith.split.prepare import Prepared


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    variants = {"one": {"stages.0.epochs": 1}, "two": {"stages.0.epochs": 2}}
    folder = tmp_path_factory.mktemp("steps")
    return small_experiment(folder, stages=[lora_stage()], evaluate=QUICK, variants=variants)


def begun(said: list[str]) -> list[str]:
    """What was done and not only looked up, by the first words that were said."""
    return [text.partition(":")[0] for text in said if not text.startswith("prepare")]


def left_by_training(steps: Steps) -> Path:
    """A folder as a stage leaves one: here, the base model itself."""
    folder = steps.folder.stage("adapt")
    shutil.copytree(steps.model.path, folder / "model", dirs_exist_ok=True)
    write_json(folder / "claim.json", steps.keys.stages["adapt"])
    return folder


def test_two_variants_with_one_base_share_its_baseline(path: Path) -> None:
    said: list[str] = []
    folders = {steps_of(path, variant=name, said=said).baseline() for name in ("one", "two")}
    assert begun(said) == ["baseline"]
    (folder,) = folders
    assert read_json(folder / "scores.json")["records"] == 8
    assert len((folder / "rows.jsonl").read_text().splitlines()) == 8


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


def run_json(steps: Steps) -> dict[str, Any]:
    steps.write_down()
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
    steps.write_down()
    folder = steps.folder.path
    assert folder == path.parent / "runs" / "small" / "one"
    assert load_experiment(folder / "experiment.yaml") == steps.experiment
    told = read_json(folder / "run.json")
    assert (told["experiment"], told["variant"], told["number"]) == ("small", "one", 1)
    assert (folder / told["data"] / "manifest.json").resolve() == steps.prepared.folder / "manifest.json"
    assert (folder / told["base"]).resolve().parent == base.parent.resolve()
    assert "torch" in read_json(folder / "environment.json")["versions"]


def test_records_are_prepared_once_and_every_variant_finds_them(path: Path) -> None:
    one, two = (steps_of(path, variant=name).prepared for name in ("one", "two"))
    assert one.folder == two.folder
    assert [record.id for record in one.records("test")] == [record.id for record in two.records("test")]
    assert one.certificate.made == two.certificate.made


def test_a_record_that_the_task_cannot_ask_about_is_told_when_data_are_prepared(path: Path) -> None:
    with pytest.raises(DataError, match=r"rows\.jsonl:\d+: prompt: there is no field 'txt'.*'text'"):
        _ = steps_of(path, "task.prompt=Q {txt}").prepared


def numbered(folder: Path, first: int) -> Path:
    """An experiment whose file has the classes by number, the first of which is `first`."""
    path = small_experiment(folder, stages=[lora_stage()], evaluate=QUICK)
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    numbers = {"fruit": first, "tool": first + 1}
    lines = [json.dumps({**row, "kind": row["label"], "label": numbers[row["label"]]}) for row in rows]
    (folder / "rows.jsonl").write_text("\n".join(lines))
    return path


def test_positions_are_decided_over_the_whole_source_and_the_decision_is_kept(tmp_path: Path) -> None:
    path = numbered(tmp_path, first=0)
    steps = steps_of(path)
    assert steps.prepared.certificate.decision == "indices"
    opened = Prepared.open(steps.prepared.folder)
    for task in (steps.task, steps.experiment.task.decided(opened.decision)):
        for record in steps.prepared.records("test"):
            assert task.conversation(record).answer == record.fields["kind"]
    with pytest.raises(DataError, match="A number is a position in the list only where"):
        steps.experiment.task.conversation(steps.prepared.records("test")[0])


def test_classes_that_count_from_1_are_refused_also_where_bad_rows_are_skipped(tmp_path: Path) -> None:
    path = numbered(tmp_path, first=1)
    with pytest.raises(DataError) as caught:
        _ = steps_of(path, "data.on_bad_rows=skip").prepared
    mapping = "labels: {1: fruit, 2: tool}"
    assert f"{mapping}  if they count from 1" in str(caught.value)
    steps = steps_of(path, f"task.{mapping.replace(': {', '={')}")
    assert all(
        steps.task.conversation(record).answer == record.fields["kind"]
        for record in steps.prepared.records("train")
    )


def test_base_and_tuned_model_answer_the_same_records_and_are_compared(path: Path) -> None:
    said: list[str] = []
    steps = steps_of(path, "name=compared", said=said)
    result = left_by_training(steps)
    fingerprint = steps.keys.stages["adapt"]
    folder = steps.evaluation(result, fingerprint)
    assert sorted(begun(said)) == ["baseline", "evaluate"]
    comparison = read_json(folder / "comparison.json")
    assert comparison["records"] == 8
    assert comparison["metrics"]["accuracy"]["change"] == 0
    assert comparison["metrics"]["accuracy"]["verdict"] == "no clear change"
    said.clear()
    again = steps_of(path, "name=compared", said=said)
    again.evaluation(result, fingerprint)
    assert begun(said) == []


def test_answers_of_other_settings_are_neither_wiped_nor_gone_on_with(path: Path) -> None:
    steps = steps_of(path, "name=kept")
    folder = steps.evaluation(left_by_training(steps), "weights")
    (folder / "key.json").write_text('"of other weights"')
    other = steps_of(path, "name=kept")
    assert other.folder.name == "main@2"
    assert (folder / "scores.json").exists()


def test_an_interrupted_evaluation_of_the_same_settings_goes_on(path: Path) -> None:
    steps = steps_of(path, "name=interrupted")
    result = left_by_training(steps)
    folder = steps.evaluation(result, "weights")
    (folder / "scores.json").unlink()
    (folder / "kept.txt").write_text("of the same weights")
    steps.evaluation(result, "weights")
    assert (folder / "kept.txt").exists()
    assert (folder / "scores.json").exists()


def test_shots_are_fixed_solved_examples_from_the_training_side(path: Path) -> None:
    steps = steps_of(path, "task.num_shots=3")
    assert len(steps.shots) == 3
    train = {record.id: record.fields["label"] for record in steps.prepared.records("train")}
    assert all(train[shot.record] == shot.answer for shot in steps.shots)
    assert steps_of(path, "task.num_shots=3").shots == steps.shots
    assert steps_of(path).shots == ()


def test_a_stage_gets_the_records_of_its_where_and_no_shots(path: Path) -> None:
    steps = steps_of(path, "task.num_shots=4", "stages.0.where=stage == 2")
    records = steps.stage_records(steps.experiment.stages[0])
    train = {record.id for record in steps.prepared.records("train") if record.fields["stage"] == 2}
    assert {record.id for record in records} == train - {shot.record for shot in steps.shots}


def test_a_where_that_matches_nothing_is_named_with_its_stage(path: Path) -> None:
    steps = steps_of(path, "stages.0.where=stage == 7")
    with pytest.raises(DataError, match=r"stage 'adapt': where 'stage == 7' holds for none of 200 tra"):
        steps.stage_records(steps.experiment.stages[0])


def test_base_and_tuned_model_are_compared_on_no_more_records_than_asked(path: Path) -> None:
    test = [record.id for record in steps_of(path).prepared.records("test")]
    some = [record.id for record in steps_of(path).test_records]
    assert len(some) == 8
    assert some == [record for record in test if record in some]
    assert len(steps_of(path, "evaluate.max_test_records=null").test_records) == len(test) == 60


def test_a_model_is_found_beside_the_experiment_file_and_else_left_to_the_hub(path: Path) -> None:
    assert steps_of(path).model.path == str(path.parent / "model")
    assert steps_of(path, "model.path=Qwen/Qwen3-0.6B").model.path == "Qwen/Qwen3-0.6B"


def test_a_metric_that_the_engine_cannot_give_is_refused_by_name(path: Path) -> None:
    with pytest.raises(ExperimentError, match=r"'rouge_l' needs"):
        steps_of(path, "evaluate.metrics=[rouge_l]", "name=refused").baseline()
