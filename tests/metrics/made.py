"""Outcomes with every kind of row, and how scikit-learn sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from tunesmith.metrics import MetricFunction, Outcomes


def classified(
    num_labels: int = 4,
    rows: int = 400,
    seed: int = 0,
    unread: float = 0.1,
    positive: int | None = None,
    scored: bool = False,
) -> Outcomes:
    """Answers that are right about half of the time, of classes that are not equally frequent."""
    chance = np.random.default_rng(seed)
    truth = chance.choice(
        num_labels, size=rows, p=np.arange(1, num_labels + 1) / (num_labels * (num_labels + 1) / 2)
    )
    scores = chance.dirichlet(np.ones(num_labels), rows) + 0.5 * np.eye(num_labels)[truth]
    scores = np.round(scores / scores.sum(1, keepdims=True), 2)
    scores[:, -1] = 1 - scores[:, :-1].sum(1)
    is_unread = chance.random(rows) < unread
    predicted = np.where(is_unread, -1, scores.argmax(1))
    return Outcomes(
        marks={"correct": (predicted == truth).astype(float)},
        unread=is_unread,
        labels=tuple(f"class {index}" for index in range(num_labels)),
        positive=positive,
        truth=truth,
        predicted=predicted,
        scores=scores if scored else None,
    )


def marked(marks: dict[str, Sequence[float]], unread: Sequence[bool] | None = None) -> Outcomes:
    """Answers to open questions with these marks."""
    columns = {name: np.array(column, float) for name, column in marks.items()}
    rows = len(next(iter(columns.values())))
    return Outcomes(columns, np.array(unread or [False] * rows))


def weights_of(outcomes: Outcomes, seed: int = 1) -> np.ndarray:
    """How often each row was drawn in a resample, never not at all."""
    return 1.0 + np.random.default_rng(seed).poisson(1.0, len(outcomes.unread))


def agree(
    metric: MetricFunction, outcomes: Outcomes, reference: Callable[[np.ndarray], dict[str, float]]
) -> None:
    """The metric gives what the reference gives: with equal weights, with others, and with rows not drawn."""
    for weights in (np.ones(len(outcomes.unread)), weights_of(outcomes)):
        assert metric(outcomes, weights) == pytest.approx(reference(weights))
    drawn = np.random.default_rng(2).poisson(1.0, len(outcomes.unread)).astype(float)
    assert metric(outcomes, drawn) == pytest.approx(
        metric(repeated(outcomes, drawn), np.ones(int(drawn.sum())))
    )


def repeated(outcomes: Outcomes, counts: np.ndarray) -> Outcomes:
    """The rows, each as often as its count."""
    index = np.repeat(np.arange(len(counts)), counts.astype(int))
    some = [
        None if part is None else part[index]
        for part in (outcomes.truth, outcomes.predicted, outcomes.scores)
    ]
    marks = {name: column[index] for name, column in outcomes.marks.items()}
    return Outcomes(marks, outcomes.unread[index], outcomes.labels, outcomes.positive, *some)
