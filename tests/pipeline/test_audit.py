from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline import pictured
from tests.pipeline.small import small_experiment
from tunesmith import load_experiment
from tunesmith.audit.lengths import audit_lines
from tunesmith.pipeline.audit import audit
from tunesmith.pipeline.context import RunContext
from tunesmith.pipeline.stage_examples import stage_examples, write_audit
from tunesmith.records.sampling import fixed_sample
from tunesmith.runs.audit import AUDIT


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_experiment(tmp_path_factory.mktemp("audited"))


def steps_of(path: Path, *overrides: str) -> RunContext:
    return RunContext(load_experiment(path, overrides), path.parent, say=lambda text: None)


def test_characters_are_those_of_questions_and_answers_and_no_model_has_to_be_there(path: Path) -> None:
    steps = steps_of(path, "model.path=no/such/model")
    rows = [record.fields for record in steps.prepared.records("train")]
    lengths = [len(f"Which? {row['text']}{row['label']}") for row in rows]
    found = audit(steps, characters=True, max_samples=None, limit=30)
    assert found.samples == len(rows) == 200
    assert found.lengths["mean"] == pytest.approx(np.mean(lengths))
    assert found.trained_share == pytest.approx(sum(len(row["label"]) for row in rows) / sum(lengths))
    assert found.over_limit == sum(length > 30 for length in lengths)


def test_tokens_are_those_that_training_will_see_and_need_no_weights(tmp_path: Path) -> None:
    steps = steps_of(small_experiment(tmp_path))
    (tmp_path / "model" / "model.safetensors").unlink()
    task = steps.experiment.task
    examples = [steps.family.render(task.conversation(record)) for record in steps.prepared.records("train")]
    found = audit(steps, characters=False, max_samples=None, limit=32)
    assert found.lengths["max"] == max(map(len, examples))
    assert found.over_limit == sum(len(example) > 32 for example in examples) > 0
    trained, seen = sum(int(example.trained.sum()) for example in examples), sum(map(len, examples))
    assert found.trained_share == pytest.approx(trained / seen)


def test_solved_examples_before_the_question_count_too(path: Path) -> None:
    alone = audit(steps_of(path), characters=True, max_samples=None, limit=None)
    with_shots = audit(steps_of(path, "task.num_shots=3"), characters=True, max_samples=None, limit=None)
    assert with_shots.lengths["min"] > alone.lengths["max"]


def test_only_as_many_records_are_read_as_was_asked_and_the_same_every_time(path: Path) -> None:
    first, again = (audit(steps_of(path), characters=True, max_samples=20, limit=None) for _ in range(2))
    assert first.samples == 20
    assert first == again
    sample = fixed_sample(steps_of(path).prepared.records("train"), 20, 17)
    assert first.lengths["max"] == max(
        len(f"Which? {record.fields['text']}{record.fields['label']}") for record in sample
    )


def test_pictures_are_counted_as_training_will_see_them_without_opening_a_file(tmp_path: Path) -> None:
    steps = pictured.steps_of(pictured.pictured_experiment(tmp_path))
    task = steps.experiment.task
    examples = [steps.family.render(task.conversation(record)) for record in steps.prepared.records("train")]
    for file in (tmp_path / "photos").iterdir():
        file.unlink()
    found = audit(steps, characters=False, max_samples=None, limit=None)
    seen = [example.num_picture_tokens for example in examples]
    assert found.picture_tokens is not None
    assert found.text_tokens is not None
    assert found.picture_tokens.mean == pytest.approx(np.mean(seen))
    assert found.text_tokens["max"] == max(
        len(example) - number for example, number in zip(examples, seen, strict=True)
    )
    assert found.picture_tokens.budgets[0].mean == pytest.approx(found.lengths["mean"])
    lines = audit_lines(found)
    assert lines[1].split() == ["all", "text", "pictures"]
    (told,) = (line for line in lines if line.startswith("pictures are"))
    assert told.startswith(
        f"pictures are {found.picture_tokens.share:.1%} of all tokens (14 pictures, 1 an example)"
    )
    assert any(re.match(r" model\.pixels\.max: \d+ .* an example, \d+\.\d% saved", line) for line in lines)


def test_a_smaller_budget_saves_what_the_audit_said(tmp_path: Path) -> None:
    path = pictured.pictured_experiment(tmp_path, model_type="qwen3_vl")
    said = audit(pictured.steps_of(path), False, None, None).picture_tokens
    assert said is not None
    for budget in said.budgets[1:]:
        tried = audit(pictured.steps_of(path, budget.name.replace(": ", "=")), False, None, None)
        assert tried.lengths["mean"] == pytest.approx(budget.mean)


def test_the_run_folder_gets_the_same_audit_that_the_command_prints(tmp_path: Path) -> None:
    steps = pictured.steps_of(pictured.pictured_experiment(tmp_path))
    rendered, *_ = stage_examples(steps, steps.experiment.stages[0])
    write_audit(steps, rendered)
    written = json.loads((steps.folder.path / "audit.json").read_text())
    assert written == json.loads(AUDIT.dump(audit(steps, False, None, None)))
    assert written["picture_tokens"]["pictures"] == 14
