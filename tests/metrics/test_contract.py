"""What holds for every metric in the registry."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.metrics.made import classified
from tunesmith.config.registry import Registry
from tunesmith.evaluate.defaults import function_of, metric_of
from tunesmith.metrics import Outcomes

NAMES = [kind.replace("-", "_") for kind in Registry("tunesmith.metrics").kinds()]


def outcomes(right: bool) -> Outcomes:
    """Answers that are all perfect, or all as bad as can be."""
    truth = np.arange(40) % 2
    predicted = truth if right else 1 - truth
    value = np.full(40, float(right))
    marks = {"correct": value, "token_f1": value, "rouge_l": value}
    marks |= {"nats": np.full(40, 0.0 if right else 9.0), "tokens": np.full(40, 3.0)}
    marks |= {f"bleu_matches_{order}": (5 - order) * value for order in (1, 2, 3, 4)}
    marks |= {"bleu_length": np.full(40, 4.0), "bleu_reference_length": np.full(40, 4.0)}
    boxes = ["iou", "detected", *(f"matched_{threshold}" for threshold in range(50, 100, 5))]
    marks |= dict.fromkeys(boxes, value) | dict.fromkeys(["objects", "predicted"], np.ones(40))
    alarms = {name: value if name == "hits" else 1 - value for name in ("hits", "false_alarms", "misses")}
    marks |= alarms | {f"{name}/yes": mark for name, mark in alarms.items()}
    labels = ("no", "yes", "perhaps", "seldom", "often", "never")
    scores = np.eye(len(labels))[predicted]
    unread = np.full(40, not right)
    return Outcomes(marks, unread, labels, 1, truth, predicted, scores)


@pytest.mark.parametrize("name", NAMES)
def test_perfect_answers_get_a_better_number_than_the_worst(name: str) -> None:
    best = function_of(name)(outcomes(True), np.ones(40))[name]
    worst = function_of(name)(outcomes(False), np.ones(40))[name]
    assert best > worst if metric_of(name).better == "higher" else best < worst
    if metric_of(name).unit == "share":
        assert min(best, worst) >= 0
        assert max(best, worst) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_a_resample_without_rows_has_no_number_and_the_same_names(name: str) -> None:
    everything, nothing = (
        function_of(name)(outcomes(True), weights) for weights in (np.ones(40), np.zeros(40))
    )
    assert everything.keys() == nothing.keys()
    assert all(math.isnan(value) for value in nothing.values())


@pytest.mark.parametrize("name", NAMES)
def test_numbers_by_class_are_announced(name: str) -> None:
    if "classes" in metric_of(name).needs:
        values = function_of(name)(classified(scored=True), np.ones(400))
        assert any("/" in one for one in values) == metric_of(name).per_class
