from __future__ import annotations

from typing import Any

import pytest

from tunesmith.config.experiment import Evaluate
from tunesmith.errors import ExperimentError
from tunesmith.evaluate.defaults import (
    engine_without_references,
    primary_metric,
    resolve_engine,
    resolve_metrics,
)
from tunesmith.tasks import Task
from tunesmith.tasks.answer import Answer
from tunesmith.tasks.chat import Chat
from tunesmith.tasks.classify import Classify

CLASSIFY = Classify(labels=["No", "Yes"], prompt="{text}")
BINARY = CLASSIFY.model_copy(update={"positive": "Yes"})
ANSWER = Answer(prompt="{text}")


def test_the_task_says_which_engine_unless_the_file_does() -> None:
    assert resolve_engine(CLASSIFY, Evaluate()).kind == "score"
    assert resolve_engine(CLASSIFY, Evaluate(engine="generate")).kind == "generate"  # type: ignore[arg-type]


def test_without_references_a_model_writes_unless_there_are_classes_to_weigh() -> None:
    assert engine_without_references(CLASSIFY, Evaluate()).kind == "score"
    assert engine_without_references(CLASSIFY, Evaluate(engine="generate")).kind == "generate"  # type: ignore[arg-type]
    assert engine_without_references(Chat(), Evaluate()).kind == "generate"
    assert engine_without_references(ANSWER, Evaluate(engine="score")).kind == "generate"  # type: ignore[arg-type]


def test_of_the_tasks_own_metrics_those_that_the_engine_cannot_give_are_left_out() -> None:
    scored = resolve_metrics(CLASSIFY, Evaluate())
    written = resolve_metrics(CLASSIFY, Evaluate(engine="generate"))  # type: ignore[arg-type]
    assert set(scored) - set(written) == {"log_loss", "roc_auc", "calibration_error"}
    assert set(written) - set(scored) == {"unread"}


def test_metrics_that_were_asked_for_are_all_that_is_reported() -> None:
    settings = Evaluate(metrics=["f1_macro", "recall"], metric="accuracy")
    assert resolve_metrics(CLASSIFY, settings) == ("f1_macro", "recall", "accuracy")
    assert primary_metric(CLASSIFY, settings) == ("accuracy", "higher")


def test_without_a_choice_the_tasks_first_metric_tells_the_best_and_a_loss_is_better_lower() -> None:
    assert primary_metric(CLASSIFY, Evaluate()) == ("accuracy", "higher")
    assert primary_metric(ANSWER, Evaluate()) == ("token_f1", "higher")
    assert primary_metric(Chat(), Evaluate()) == ("loss", "lower")


def test_one_class_or_the_positive_one_can_tell_the_best() -> None:
    assert primary_metric(CLASSIFY, Evaluate(metric="f1/Yes")) == ("f1/Yes", "higher")
    assert primary_metric(BINARY, Evaluate(metric="f1")) == ("f1", "higher")
    assert "f1" in resolve_metrics(CLASSIFY, Evaluate(metric="f1/Yes", metrics=["accuracy"]))


@pytest.mark.parametrize(
    ("task", "settings", "message"),
    [
        (
            CLASSIFY,
            {"metrics": ["acuracy"]},
            r"evaluate\.metrics\.0: there is no metric 'acuracy'; possible here: accuracy, .*'accuracy'\?",
        ),
        (
            CLASSIFY,
            {"metrics": ["log_loss"], "engine": "generate"},
            "'log_loss' needs scores, which task 'classify' with engine 'generate' does not give. "
            "Possible here: accuracy, balanced_accuracy",
        ),
        (
            ANSWER,
            {"metrics": ["f1_macro"]},
            "'f1_macro' needs classes, which task 'answer' with engine 'generate'",
        ),
        (
            ANSWER,
            {"engine": "score"},
            r"engine: with 'score' none of the metrics of task 'answer' can be computed \(token_f1, .*\). "
            "Leave evaluate.engine out, or use 'generate'",
        ),
        (
            CLASSIFY,
            {"metric": "f1"},
            "'f1' is one number a class. Name one, such as 'f1/No', set task.positive",
        ),
        (CLASSIFY, {"metric": "f1/Ja"}, r"there is no class 'Ja' \(No, Yes\)\."),
        (CLASSIFY, {"metric": "accuracy/Yes"}, "'accuracy' is one number; leave '/Yes' out"),
    ],
)
def test_a_metric_that_cannot_be_had_is_an_error_if_it_was_asked_for(
    task: Task, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ExperimentError, match=message):
        resolve_metrics(task, Evaluate(**settings))


def test_all_impossible_metrics_are_named_at_once() -> None:
    with pytest.raises(ExperimentError) as caught:
        resolve_metrics(ANSWER, Evaluate(metrics=["f1", "rouge", "rouge_l"], metric="nats"))
    assert len(str(caught.value).splitlines()) == 3
