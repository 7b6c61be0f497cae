"""What holds for every task in the registry."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tunesmith.config.experiment import Evaluate
from tunesmith.config.registry import Registry
from tunesmith.errors import DataError
from tunesmith.evaluate.defaults import metric_of, resolve_metrics
from tunesmith.evaluate.evaluate import row_of
from tunesmith.evaluate.scores import score
from tunesmith.images.picture import Picture
from tunesmith.records.conversation import Conversation, Text, Turn
from tunesmith.records.record import Record
from tunesmith.tasks import Answer, Task, Unread
from tunesmith.tasks._overlap import BLEU_MARKS


@dataclass(frozen=True)
class Case:
    """A task with a record for it."""

    settings: dict[str, Any]
    fields: dict[str, Any]
    weighed: bool = False
    """Its marks come from a scoring engine."""


MESSAGES = [{"role": "user", "content": "Who sang Hello?"}, {"role": "assistant", "content": "Adele"}]
CASES = {
    "answer": Case(
        {"prompt": "{question}"},
        {"question": "Who sang Hello?", "answer": ["Adele Laurie Blue Adkins", "Adele"]},
    ),
    "chat": Case({}, {"messages": MESSAGES}, weighed=True),
    "classify": Case({"prompt": "{text}", "labels": ["Yes", "No"]}, {"text": "good?", "label": "Yes"}),
    "detect": Case(
        {"picture": "photo", "boxes": "box", "format": "xyxy", "unit": "pixels", "label": "cat"},
        {"photo": Picture("a.png", "0" * 64, 640, 480, "0" * 16), "box": [12, 30, 400, 470]},
    ),
}

AMOUNTS = {"tokens", "objects", *BLEU_MARKS}
"""Marks that count something: they are no better for being larger."""


def made(kind: str) -> tuple[Task, Record]:
    task: Task = Registry("tunesmith.tasks").item(kind)(**CASES[kind].settings)
    return task, Record("file.jsonl:3", CASES[kind].fields)


def perfect(kind: str, conversation: Conversation) -> Answer:
    text, boxes = conversation.answer, conversation.boxes
    if CASES[kind].weighed:
        return Answer(text, scores=(0.0,), num_tokens=(2,))
    return Answer(text, boxes=boxes.boxes if boxes else None)


def test_every_task_has_a_case() -> None:
    assert sorted(CASES) == Registry("tunesmith.tasks").kinds()


@pytest.mark.parametrize("kind", CASES)
def test_a_perfect_answer_gets_the_best_marks(kind: str) -> None:
    task, record = made(kind)
    conversation = task.conversation(record)
    answer = perfect(kind, conversation)
    reading = task.read(answer)
    assert not isinstance(reading, Unread)
    best = 0.0 if CASES[kind].weighed else 1.0
    marks = task.mark(conversation, answer, reading)
    assert {name: mark for name, mark in marks.items() if name not in AMOUNTS} == dict.fromkeys(
        [name for name in task.marks if name not in AMOUNTS], best
    )


@pytest.mark.parametrize("kind", CASES)
def test_no_answer_is_unread_with_a_reason_and_gets_no_answers_marks(kind: str) -> None:
    task, record = made(kind)
    reading = task.read(Answer(" \n"))
    assert isinstance(reading, Unread)
    assert reading.why == "is empty"
    marks = task.mark(task.conversation(record), Answer(" \n"), reading)
    assert set(marks) == set(task.marks)
    judged = {mark for name, mark in marks.items() if name not in AMOUNTS}
    assert judged == ({None} if CASES[kind].weighed else {0.0})


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("text", ["No idea.", "I cannot say.", "?", "..."])
def test_a_refusal_or_a_lone_mark_never_gets_a_good_mark(kind: str, text: str) -> None:
    task, record = made(kind)
    if kind == "detect":
        record = Record(record.id, {**record.fields, "box": []})
    conversation = task.conversation(record)
    answer = Answer(text, fault="names no box")
    marks = task.mark(conversation, answer, task.read(answer))
    assert not any(mark for name, mark in marks.items() if name not in AMOUNTS)


@pytest.mark.parametrize("kind", CASES)
def test_the_tasks_own_metrics_can_all_be_had_of_its_own_engine(kind: str) -> None:
    task, record = made(kind)
    settings = Evaluate(num_resamples=100)
    conversation = task.conversation(record)
    stored = Record(record.id, {})  # how a record with pictures is hashed is no matter of tasks
    rows = [row_of(task, stored, conversation, perfect(kind, conversation))] * 3
    names = resolve_metrics(task, settings)
    assert names[0] == task.default_metrics[0]
    scores = score(rows, task, settings, seed=1)
    own = {name for name in names if "scores" not in metric_of(name).needs or CASES[kind].weighed}
    assert own <= {name.partition("/")[0] for name in scores.metrics}
    assert all(math.isfinite(one.value) for one in scores.metrics.values())


@pytest.mark.parametrize("kind", CASES)
def test_a_missing_field_is_named_with_the_record_and_what_there_is(kind: str) -> None:
    task, _ = made(kind)
    with pytest.raises(DataError) as caught:
        task.conversation(Record("file.jsonl:9", {"txt": "x", "message": []}))
    assert "file.jsonl:9: " in str(caught.value)
    assert "(txt, message)" in str(caught.value)


@pytest.mark.parametrize("kind", CASES)
def test_what_is_asked_depends_on_the_fields_that_it_says_and_on_no_other_but_the_answer(kind: str) -> None:
    task, record = made(kind)
    asked = set(task.fields_asked())
    assert asked <= set(record.fields)
    more = Record(record.id, {**record.fields, "elsewhere": "x"})
    assert task.conversation(more) == task.conversation(record)


@pytest.mark.parametrize("kind", CASES)
def test_a_record_without_its_answer_is_asked_the_same_question(kind: str) -> None:
    task, record = made(kind)
    fields = {name: record.fields[name] for name in task.fields_asked()}
    if kind == "chat":
        fields = {"messages": MESSAGES[:-1]}
    solved = task.conversation(record)
    shot = task.conversation(Record("file.jsonl:1", record.fields))
    asked = task.ask(Record(record.id, fields), [shot])
    assert asked == replace(
        task.conversation(record, [shot]),
        answer="",
        label=None,
        accepted=(),
        boxes=solved.boxes and replace(solved.boxes, boxes=()),
    )
    assert task.ask(record) == task.ask(Record(record.id, fields))
    assert task.candidates(asked) == (task.labels_in_order or ())


@pytest.mark.parametrize("kind", CASES)
def test_system_prompt_and_shots_come_before_the_question(kind: str) -> None:
    plain, record = made(kind)
    task = plain.model_copy(update={"system": "Be brief."})
    shot = task.conversation(Record("file.jsonl:1", record.fields))
    itself = task.conversation(record)
    turns = task.conversation(record, [shot, itself]).turns
    question = plain.conversation(record).turns[-1]
    solved = Turn("assistant", (shot.boxes or Text(shot.answer),))
    assert turns == (Turn.of("system", "Be brief."), question, solved, question)
