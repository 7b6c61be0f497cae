from __future__ import annotations

import pytest

from tunesmith.config.experiment import Evaluate
from tunesmith.evaluate.attainable import missing_metrics
from tunesmith.records.record import Record
from tunesmith.tasks import Task
from tunesmith.tasks.answer import Answer
from tunesmith.tasks.chat import Chat
from tunesmith.tasks.classify import Classify


def records(*labels: str) -> list[Record]:
    return [Record(f"a:{index}", {"text": "x", "label": label}) for index, label in enumerate(labels)]


def missing(task: Task, given: list[Record], *names: str) -> list[str]:
    conversations = [task.conversation(record) for record in given]
    return missing_metrics(names, task, Evaluate(), given, conversations)


@pytest.mark.parametrize("answer", ["text", {"kind": "head"}])
def test_a_metric_over_classes_cannot_be_had_of_one_class(answer: object) -> None:
    task = Classify(labels=["a", "b", "c", "d"], prompt="{text}", answer=answer)
    names = ("accuracy", "roc_auc", "log_loss", "f1_macro", "top_3")
    assert missing(task, records("a", "a"), *names) == ["roc_auc"]
    assert missing(task, records("a", "b"), *names) == []


def test_so_it_is_with_several_classes_a_record() -> None:
    task = Classify(labels=["a", "b"], prompt="{text}", answer={"kind": "head", "multi": True})
    given = [Record("a:1", {"text": "x", "label": ["a", "b"]}), Record("a:2", {"text": "y", "label": []})]
    assert missing(task, given, *task.own_metrics) == []


@pytest.mark.parametrize(
    ("task", "fields"),
    [
        (Answer(prompt="{text}"), {"text": "x", "answer": "a few words more"}),
        (
            Chat(),
            {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        ),
    ],
)
def test_records_of_every_task_give_its_own_metrics(task: Task, fields: dict[str, object]) -> None:
    assert missing(task, [Record("a:1", fields)], *task.own_metrics) == []


def test_bleu_cannot_be_had_of_references_without_four_words() -> None:
    given = [Record("a:1", {"text": "x", "answer": "two words"})]
    assert missing(Answer(prompt="{text}"), given, "bleu", "token_f1") == ["bleu"]
