from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.small import QUICK, short, small_experiment, steps_of
from tunesmith.pipeline.stage_examples import stage_examples


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_experiment(tmp_path_factory.mktemp("training"), stages=[short()], evaluate=QUICK)


def test_solved_examples_in_the_prompt_are_not_trained_on(path: Path) -> None:
    steps = steps_of(path, "task.num_shots=5")
    rendered, sort_by, _ = stage_examples(steps, steps.experiment.stages[0])
    seen = {example.record for example in rendered.examples}
    shots = {shot.record for shot in steps.shots}
    train_side = {record.id for record in steps.prepared.records("train")}
    assert len(shots) == 5
    assert seen == train_side - shots
    assert sort_by is None


def test_records_are_put_in_the_order_of_the_field_that_was_asked_for(path: Path) -> None:
    steps = steps_of(path, "stages.0.order=text", "data.length={max_tokens: 34, over: drop}")
    rendered, sort_by, _ = stage_examples(steps, steps.experiment.stages[0])
    assert rendered.too_long
    texts = {record.id: record.fields["text"] for record in steps.prepared.records("train")}
    assert sort_by == [texts[example.record] for example in rendered.examples]
