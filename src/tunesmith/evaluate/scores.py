"""From rows to numbers with intervals, as they stand in `scores.json` (docs/run-folder.md)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float

from tunesmith.evaluate.choice import (
    function_of,
    metric_of,
    primary_metric,
    resolve_engine,
    resolve_metrics,
)
from tunesmith.evaluate.rows import Row
from tunesmith.files import read_json, write_json
from tunesmith.metrics import Outcomes
from tunesmith.metrics._confusion import confusion
from tunesmith.metrics._intervals import bootstrap, interval
from tunesmith.tasks import Task

if TYPE_CHECKING:
    from tunesmith.config.experiment import Evaluate


@dataclass(frozen=True)
class Score:
    """A metric's value with its bootstrap 95 % interval."""

    value: float
    low: float
    high: float
    better: Literal["higher", "lower"]
    unit: Literal["share", "nats", "number"]


@dataclass(frozen=True)
class Confusion:
    """Numbers of records by true class (row) and predicted class (column); the last column is unread."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Scores:
    """What one evaluation came to."""

    evaluation: str
    """Its name: base, tuned, validation."""
    records: int
    unread: int
    engine: str
    seconds: float
    """Time that answering took."""
    primary: str
    """The metric that tells the best."""
    labels: tuple[str, ...] | None
    metrics: Mapping[str, Score]
    confusion: Confusion | None

    def write(self, path: Path) -> None:
        """Write `scores.json`, whole or not at all."""
        write_json(path, dataclasses.asdict(self))

    @staticmethod
    def read(path: Path) -> Scores:
        """The scores of a file."""
        values: dict[str, Any] = read_json(path)
        table = values["confusion"]
        values["metrics"] = {name: Score(**score) for name, score in values["metrics"].items()}
        values["labels"] = None if values["labels"] is None else tuple(values["labels"])
        if table is not None:
            values["confusion"] = Confusion(tuple(table["labels"]), tuple(map(tuple, table["counts"])))
        return Scores(**values)


def score(
    rows: Sequence[Row], task: Task, settings: Evaluate, seed: int, name: str = "base", seconds: float = 0.0
) -> Scores:
    """Every metric that the settings ask for, with its interval; one that these rows cannot give is absent.

    Raises ExperimentError as `resolve_metrics` does. `rows` must not be empty.
    """
    outcomes = outcomes_of(rows, task)
    measures = measures_of(resolve_metrics(task, settings), outcomes)
    values = measures(np.ones(len(rows)))
    resampled = bootstrap(measures, len(rows), settings.resamples, seed)
    labels = task.labels_in_order
    return Scores(
        evaluation=name,
        records=len(rows),
        unread=int(outcomes.unread.sum()),
        engine=resolve_engine(task, settings).kind,
        seconds=round(seconds, 3),
        primary=primary_metric(task, settings)[0],
        labels=labels,
        metrics={
            metric: Score(
                value,
                *interval(resampled[metric]),
                better=metric_of(metric).better,
                unit=metric_of(metric).unit,
            )
            for metric, value in values.items()
            if not math.isnan(value)
        },
        confusion=None if labels is None else _confusion(outcomes),
    )


def measures_of(
    names: Sequence[str], outcomes: Outcomes
) -> Callable[[Float[np.ndarray, "row"]], dict[str, float]]:
    """A function from a weight per row to the values of all these metrics by name."""
    functions = [function_of(name) for name in names]

    def measures(weights: Float[np.ndarray, "row"]) -> dict[str, float]:
        return {name: value for function in functions for name, value in function(outcomes, weights).items()}

    return measures


def outcomes_of(rows: Sequence[Row], task: Task) -> Outcomes:
    """The rows as columns."""
    labels = task.labels_in_order
    names = list(dict.fromkeys(name for row in rows for name in row.marks))
    classes = labels is not None and all(row.label is not None for row in rows)
    predicted = [-1 if row.predicted is None else row.predicted for row in rows]
    scores = [row.scores for row in rows if row.scores is not None]
    return Outcomes(
        marks={name: np.array([_number(row.marks.get(name)) for row in rows]) for name in names},
        unread=np.array([row.unread is not None for row in rows], bool),
        labels=labels or (),
        positive=task.positive_index,
        truth=np.array([row.label for row in rows], int) if classes else None,
        predicted=np.array(predicted, int) if classes else None,
        scores=np.array(scores, float) if classes and len(scores) == len(rows) else None,
    )


def _number(mark: float | None) -> float:
    return math.nan if mark is None else mark


def _confusion(outcomes: Outcomes) -> Confusion:
    counts = confusion(outcomes, np.ones(len(outcomes.unread))).astype(int).tolist()
    return Confusion(outcomes.labels, tuple(map(tuple, counts)))
