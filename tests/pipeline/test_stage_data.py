from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.small import QUICK, lora_stage, small_experiment, steps_of
from tunesmith.errors import DataError
from tunesmith.pipeline.stage_examples import stage_records


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    variants = {"one": {"stages.0.epochs": 1}, "two": {"stages.0.epochs": 2}}
    folder = tmp_path_factory.mktemp("steps")
    return small_experiment(folder, stages=[lora_stage()], evaluate=QUICK, variants=variants)


def test_a_stage_gets_the_records_of_its_where_and_no_shots(path: Path) -> None:
    steps = steps_of(path, "task.num_shots=4", "stages.0.where=stage == 2")
    records = stage_records(steps, steps.experiment.stages[0])
    train = {record.id for record in steps.prepared.records("train") if record.fields["stage"] == 2}
    assert {record.id for record in records} == train - {shot.record for shot in steps.shots}


def test_a_where_that_matches_nothing_is_named_with_its_stage(path: Path) -> None:
    steps = steps_of(path, "stages.0.where=stage == 7")
    with pytest.raises(DataError, match=r"stage 'adapt': where 'stage == 7' holds for none of 200 tra"):
        stage_records(steps, steps.experiment.stages[0])
