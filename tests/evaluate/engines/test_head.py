"""The head's answers are the probabilities of its own logits, whatever is packed together."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.evaluate.loaded import tiny
from tunesmith.batching.collator import collate
from tunesmith.config.experiment import Evaluate
from tunesmith.errors import DataError, ModelError
from tunesmith.evaluate.defaults import resolve_engine, resolve_metrics
from tunesmith.evaluate.engines.head import Head as HeadEngine
from tunesmith.evaluate.engines.score import Score
from tunesmith.evaluate.evaluate import evaluate
from tunesmith.model.heads import new_head
from tunesmith.model.loaded import LoadedModel
from tunesmith.records.record import Record
from tunesmith.tasks.classify import Classify

LABELS = ["World", "Sports", "Business", "Sci/Tech"]
TEXTS = ["x", "a longer text about modules and their names", "y z", "of two statements " * 9, "w"]


def task(**answer: Any) -> Classify:
    return Classify(labels=LABELS, prompt="{text}", answer={"kind": "head", "hidden": 16, **answer})


def records(multi: bool = False) -> list[Record]:
    return [
        Record(f"a:{number}", {"text": text, "label": LABELS[: number % 4] if multi else LABELS[number % 4]})
        for number, text in enumerate(TEXTS)
    ]


def with_head(asked: Classify) -> LoadedModel:
    assert asked.head is not None
    return replace(tiny(), head=new_head(asked.head, LABELS, 64, 5, torch.device("cpu")))


@pytest.mark.parametrize("multi", [False, True])
def test_answers_are_the_probabilities_of_each_question_alone(multi: bool) -> None:
    asked = task(multi=multi)
    model, conversations = with_head(asked), [asked.conversation(one) for one in records(multi)]
    answers = dict(HeadEngine(tokens_per_batch=64).answers(model, asked, conversations))
    for index, conversation in enumerate(conversations):
        with torch.no_grad():
            logits = model.class_logits(collate([model.family.prompt(conversation)]))[0]
        shares = logits.sigmoid() if multi else logits.softmax(-1)
        assert answers[index].probabilities == pytest.approx(tuple(shares.tolist()), abs=1e-5)
        likely = [label for label, share in zip(LABELS, shares.tolist(), strict=True) if share > 0.5]
        expected = json.dumps(likely) if multi else LABELS[int(shares.argmax())]
        assert answers[index].text == expected
        assert asked.read(answers[index]) == (likely if multi else expected)


def test_evaluation_gives_metrics_of_classes_and_of_the_likeliest_ones() -> None:
    asked = task()
    scores = evaluate(with_head(asked), asked, HeadEngine(), records(), Evaluate(num_resamples=100))
    assert {"accuracy", "top_3", "f1_macro", "log_loss", "calibration_error", "recall/World"} <= set(
        scores.metrics
    )
    assert "top_5" not in scores.metrics  # of four classes none could be missed
    assert (scores.primary, scores.engine) == ("accuracy", "head")


def test_evaluation_of_several_classes_a_record_tells_sets_apart() -> None:
    asked = task(multi=True)
    scores = evaluate(with_head(asked), asked, HeadEngine(), records(multi=True), Evaluate(num_resamples=100))
    assert {"labels_f1", "labels_f1_macro", "accuracy"} <= set(scores.metrics)
    assert scores.confusion is None
    assert resolve_metrics(asked, Evaluate())[0] == "labels_f1"


def test_the_untrained_model_weighs_the_labels_as_text() -> None:
    asked = task()
    assert isinstance(resolve_engine(asked, Evaluate()), HeadEngine)
    assert isinstance(resolve_engine(asked, Evaluate(engine=HeadEngine()), untrained=True), Score)
    answers = dict(Score().answers(tiny(), asked, [asked.conversation(records()[0])]))
    assert answers[0].text in LABELS
    written = Classify(labels=LABELS, prompt="{text}")
    assert isinstance(resolve_engine(written, Evaluate(), untrained=True), Score)


def test_without_a_head_or_with_another_one_it_is_told() -> None:
    asked = task()
    conversations = [asked.conversation(one) for one in records()]
    with pytest.raises(
        ModelError, match=r"the model has no head that could answer\. Train one, or use engine: score"
    ):
        list(HeadEngine().answers(tiny(), asked, conversations))
    with pytest.raises(ModelError, match=r"task\.answer\.pooling: the head has mean, the task asks for last"):
        list(HeadEngine().answers(with_head(asked), task(pooling="last"), conversations))


def test_a_question_over_the_models_positions_is_named() -> None:
    asked = task()
    long = asked.conversation(Record("a:9", {"text": "word " * 3000, "label": LABELS[0]}))
    with pytest.raises(DataError, match=r"a:9: \d+ tokens"):
        list(HeadEngine().answers(with_head(asked), asked, [long]))


def test_a_model_that_diverged_gives_no_answer() -> None:
    asked = task()
    model = with_head(asked)
    assert model.head is not None
    with torch.no_grad():
        model.head.layers[1].bias.fill_(torch.nan)  # type: ignore[union-attr, operator]
    answers = dict(HeadEngine().answers(model, asked, [asked.conversation(records()[0])]))
    assert answers[0].text == ""
    assert answers[0].probabilities is None


def test_modes_are_as_before_afterwards() -> None:
    asked = task()
    model = with_head(asked)
    model.train()
    list(HeadEngine().answers(model, asked, [asked.conversation(records()[0])]))
    assert model.head is not None
    assert model.head.training
    assert model.model.training
    model.train(False)
