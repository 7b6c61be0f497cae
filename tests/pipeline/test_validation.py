from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.small import QUICK, short, small_experiment, steps_of
from tunesmith.pipeline.validation import validation_records


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_experiment(tmp_path_factory.mktemp("training"), stages=[short()], evaluate=QUICK)


def test_evaluations_during_training_look_at_a_fixed_sample_of_the_validation_side(path: Path) -> None:
    sample = [record.id for record in validation_records(steps_of(path, "evaluate.every=1 epoch"))]
    assert len(sample) == 8
    validation = [record.id for record in steps_of(path).prepared.records("validation")]
    assert sample == [record for record in validation if record in sample]
    assert sample == [record.id for record in validation_records(steps_of(path, "evaluate.every=1 epoch"))]
