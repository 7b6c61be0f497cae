from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.pipeline.small import QUICK, lora_stage, small_experiment, steps_of
from tunesmith.errors import DataError
from tunesmith.split.prepare import Prepared


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    variants = {"one": {"stages.0.epochs": 1}, "two": {"stages.0.epochs": 2}}
    folder = tmp_path_factory.mktemp("steps")
    return small_experiment(folder, stages=[lora_stage()], evaluate=QUICK, variants=variants)


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


def test_shots_are_fixed_solved_examples_from_the_training_side(path: Path) -> None:
    steps = steps_of(path, "task.num_shots=3")
    assert len(steps.shots) == 3
    train = {record.id: record.fields["label"] for record in steps.prepared.records("train")}
    assert all(train[shot.record] == shot.answer for shot in steps.shots)
    assert steps_of(path, "task.num_shots=3").shots == steps.shots
    assert steps_of(path).shots == ()
