"""Counts of true against predicted class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Outcomes
from tunesmith.metrics._statistics import Count, count_of


def confusion(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> Float[np.ndarray, "label column"]:
    """Weight of the rows by true class (row) and predicted class (column); the last column is unread."""
    assert outcomes.truth is not None
    assert outcomes.predicted is not None
    num_labels = len(outcomes.labels)
    column = np.where(outcomes.predicted < 0, num_labels, outcomes.predicted)
    cells = outcomes.truth * (num_labels + 1) + column
    return np.bincount(cells, weights, num_labels * (num_labels + 1)).reshape(num_labels, num_labels + 1)


def f1_counts(outcomes: Outcomes) -> Iterator[Count]:
    """Of each class, the rows that are right, of those that are of the class or predicted so."""
    for one in _classes("f1", outcomes):
        yield count_of(one.name, one.right, one.true | one.predicted, size=one.true)


def precision_counts(outcomes: Outcomes) -> Iterator[Count]:
    """Of each class, the rows that are right, of those predicted so; an unread answer is no prediction. The precision
    of a class that is never predicted but occurs is 0."""
    for one in _classes("precision", outcomes):
        yield count_of(one.name, one.right, one.predicted, seen=one.true | one.predicted)


def recall_counts(outcomes: Outcomes) -> Iterator[Count]:
    """Of each class, the rows that are right, of those of the class; an unread answer is not found. The recall of a
    class that is only predicted is 0."""
    for one in _classes("recall", outcomes):
        yield count_of(one.name, one.right, one.true, seen=one.true | one.predicted)


def class_f1_counts(outcomes: Outcomes) -> Iterator[Count]:
    """As `f1_counts`, each class once, also where one is the positive class."""
    return f1_counts(replace(outcomes, positive=None))


def true_class_counts(outcomes: Outcomes) -> Iterator[Count]:
    """Of each class that occurs, the rows that are right, of those of the class."""
    for one in _classes("recall", replace(outcomes, positive=None)):
        yield count_of(one.name, one.right, one.true)


@dataclass(frozen=True, eq=False)
class _Class:
    name: str
    right: np.ndarray
    true: np.ndarray
    predicted: np.ndarray


def _classes(metric: str, outcomes: Outcomes) -> Iterator[_Class]:
    """Which rows are of each class and predicted so: the positive class, if there is one, as `metric`, and each as
    `metric/label`."""
    assert outcomes.truth is not None
    assert outcomes.predicted is not None
    named = [(f"{metric}/{label}", index) for index, label in enumerate(outcomes.labels)]
    if outcomes.positive is not None:
        named.insert(0, (metric, outcomes.positive))
    for name, index in named:
        true, predicted = outcomes.truth == index, outcomes.predicted == index
        yield _Class(name, true & predicted, true, predicted)
