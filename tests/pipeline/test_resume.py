from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from tests.pipeline.small import QUICK, short, small_experiment, steps_of
from tunesmith.errors import ExperimentError
from tunesmith.pipeline.context import RunContext
from tunesmith.pipeline.resume import TrainingResult, training_result
from tunesmith.pipeline.stage import train


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_experiment(tmp_path_factory.mktemp("training"), stages=[short()], evaluate=QUICK)


def trained(steps: RunContext) -> TrainingResult:
    return train(steps, Console(quiet=True))


def test_results_are_refused_until_they_are_trained_with_the_same_settings(tmp_path: Path) -> None:
    path = small_experiment(tmp_path, stages=[short(steps=1)], evaluate=QUICK)
    with pytest.raises(ExperimentError, match=r"stage 'adapt' is not trained yet.*tunesmith train"):
        training_result(steps_of(path))
    result = trained(steps_of(path))
    assert training_result(steps_of(path)) == result
    assert training_result(steps_of(path, "evaluate.max_test_records=5")) == result
    with pytest.raises(ExperimentError, match="not trained yet with these settings"):
        training_result(steps_of(path, "seed=4"))
