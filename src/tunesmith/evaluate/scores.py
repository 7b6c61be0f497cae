"""From rows to numbers with intervals, as in `scores.json` (docs/run-folder.md)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from tunesmith.config.settings import FloatOrNull
from tunesmith.errors import DataError
from tunesmith.evaluate.calibration import Calibration, calibration_of
from tunesmith.evaluate.defaults import (
    metric_of,
    primary_metric,
    resolve_engine,
    resolve_metrics,
)
from tunesmith.evaluate.estimates import Estimate, Units, estimates_of
from tunesmith.evaluate.groups import groups_of
from tunesmith.evaluate.rows import Row
from tunesmith.metrics import Outcomes
from tunesmith.metrics._confusion import confusion
from tunesmith.runs.json_file import JsonFile
from tunesmith.tasks import Task

if TYPE_CHECKING:
    from tunesmith.config.experiment import Evaluate


@dataclass(frozen=True)
class Score:
    """A metric's value with its 95 % interval; its ends are NaN where there is none."""

    value: float
    low: FloatOrNull
    high: FloatOrNull
    better: Literal["higher", "lower"]
    unit: Literal["share", "nats", "number"]
    reason: str | None = None
    """Why there is no interval, or why it may be too narrow; None if neither holds."""
    corrected: float | None = None
    """The value without the bias that rare classes bring, which the interval is centred on; None if there is none."""


@dataclass(frozen=True)
class Confusion:
    """Numbers of records by true class (row) and predicted class (column); the last column is unread."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class GroupScores:
    """What the records came to that have one value of a field."""

    records: int
    metrics: Mapping[str, Score]
    """Metrics of all records of the group; ends of an interval are NaN where they are too few."""
    units: int | None = None
    """Number of independent units that they belong to."""


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
    by: Mapping[str, Mapping[str, GroupScores]] = field(default_factory=dict)
    """By field that results are broken down by, and by its value."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """How many values of a field are not given, because it has too many."""
    units: int | None = None
    """Number of independent units (`evaluate/units.py`); None in files from before there were units."""
    unit_kind: str = "record"
    """What records of one unit have in common: a field, `picture`, ..., or `record` where each is its own unit."""
    calibration: Calibration | None = None
    """The model's confidence compared with its accuracy; None without class probabilities."""
    cut: int = 0
    """Number of answers that reached the maximum length without an end token."""


SCORES = JsonFile[Scores]("scores.json", Scores)


def read_scores(folder: Path) -> Scores:
    """The scores of an evaluation. DataError if they are missing or damaged."""
    try:
        scores = SCORES.parse(folder)
        if scores is None:
            raise ValueError("there is no such file")
    except ValueError as error:
        raise DataError(
            f"{folder / SCORES.name}: is not the scores of an evaluation ({error}). Delete the folder {folder} and "
            "call `tunesmith run` with the same experiment"
        ) from error
    return scores


def score(
    rows: Sequence[Row], task: Task, settings: Evaluate, seed: int, name: str = "base", seconds: float = 0.0
) -> Scores:
    """Every metric that the settings ask for, with its interval, of all rows and of each group of them; one that
    these rows cannot give is absent.

    Raises ExperimentError as `resolve_metrics` does. `rows` must not be empty.
    """
    outcomes, units = outcomes_of(rows, task), Units.of([row.unit for row in rows])
    names, (primary, _) = resolve_metrics(task, settings), primary_metric(task, settings)
    groups, labels = groups_of(rows, settings.by), task.labels_in_order

    def group_scores(group: Sequence[int]) -> GroupScores:
        few, some = outcomes_of([rows[index] for index in group], task), units.some(group)
        given = [metric for metric in names if tells(metric, primary) or metric == primary.partition("/")[0]]
        every = _measured(given, few, some)
        whole = {metric: one for metric, one in every.items() if tells(metric, primary)}
        return GroupScores(len(group), whole, some.number)

    return Scores(
        evaluation=name,
        records=len(rows),
        unread=int(outcomes.unread.sum()),
        engine=resolve_engine(task, settings).kind,
        seconds=round(seconds, 3),
        primary=primary,
        labels=labels,
        metrics=_measured(names, outcomes, units),
        confusion=None if outcomes.truth is None else _confusion(outcomes),
        by={
            name: {value: group_scores(group) for value, group in values.items()}
            for name, values in groups.rows.items()
        },
        left_out=groups.left_out,
        units=units.number,
        unit_kind=rows[0].unit_kind,
        calibration=calibration_of(outcomes, units),
        cut=sum(not row.ended for row in rows),
    )


def tells(name: str, primary: str) -> bool:
    """True for a metric that is given of groups: one of all classes, or the primary one."""
    return "/" not in name or name == primary


def _measured(names: Sequence[str], outcomes: Outcomes, units: Units) -> dict[str, Score]:
    """The numbers of these metrics with their intervals."""
    return {one.name: _score_of(one) for metric in names for one in estimates_of(metric, outcomes, units)}


def _score_of(estimate: Estimate) -> Score:
    metric, ends = metric_of(estimate.name), estimate.interval()
    return Score(estimate.value, ends.low, ends.high, metric.better, metric.unit, ends.reason, ends.corrected)


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
