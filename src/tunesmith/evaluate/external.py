"""`score_predictions` and `compare_predictions`: the evidence for answers that any model gave, without a run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tunesmith.config.experiment import Evaluate
from tunesmith.config.experiment import Pictures as PictureSettings
from tunesmith.config.read import experiment_from
from tunesmith.errors import DataError
from tunesmith.evaluate.changes import Change
from tunesmith.evaluate.compare import Comparison, compare_rows
from tunesmith.evaluate.evaluate import conversations_of
from tunesmith.evaluate.groups import check_fields
from tunesmith.evaluate.predictions import (
    ExternalPrediction,
    matched,
    raise_first,
    rows_of_predictions,
    settings_of_rows,
)
from tunesmith.evaluate.rows import Row
from tunesmith.evaluate.scores import Score, Scores, score
from tunesmith.records.conversation import Conversation
from tunesmith.records.image_ingestion import ImageIngestor
from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow
from tunesmith.tasks import Task

Predictions = Mapping[Any, Any]
"""By record id: an answer's text, or a mapping with `answer` (or `reading`) and optionally `probabilities`."""
_CLASS_METRIC = "f1"


@dataclass(frozen=True)
class ScoredPredictions:
    """What `score_predictions` gives."""

    scores: Scores
    rows: tuple[Row, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON-like values: `records`, `units`, `unread`, `primary`, and by name `metrics`, `classes` (F1 of each) and
        `groups` (the primary metric where a field has a value, as `field=value`), each with `value` and `interval` (two
        ends, or None)."""
        scores = self.scores
        return {
            "records": scores.records,
            "units": scores.units,
            "unread": scores.unread,
            "primary": scores.primary,
            "metrics": {name: _value(one) for name, one in scores.metrics.items() if "/" not in name},
            "classes": {label: _value(one) for label, one in _class_scores(scores).items()},
            "groups": {name: _value(one) for name, one in _group_scores(scores).items()},
        }


@dataclass(frozen=True)
class ComparedPredictions:
    """What `compare_predictions` gives."""

    base: ScoredPredictions
    tuned: ScoredPredictions
    comparison: Comparison

    def to_json(self) -> dict[str, Any]:
        """JSON-like values: `records`, `units`, `primary`, and by name `metrics`, `classes` (F1 of each) and `groups`
        (the primary metric where a field has a value, as `field=value`), each with `base`, `base_interval`, `tuned`,
        `tuned_interval`, `change`, `interval`, `p` and `verdict`. `worse` lists the names that clearly got worse.

        An interval is two ends, or None where there is none; `p` is corrected for all changes that are tested
        together, or None where there is no test.
        """
        before, after, comparison = self.base.scores, self.tuned.scores, self.comparison
        primary = after.primary
        changes = comparison.metrics
        groups = {
            f"{field}={value}": group.metrics[primary]
            for field, values in comparison.by.items()
            for value, group in values.items()
            if primary in group.metrics
        }
        classes = {
            label: changes[f"{_CLASS_METRIC}/{label}"]
            for label in after.labels or ()
            if f"{_CLASS_METRIC}/{label}" in changes
        }
        metrics = {name: change for name, change in changes.items() if "/" not in name}
        return {
            "records": comparison.records,
            "units": comparison.units,
            "primary": primary,
            "metrics": _pairs(metrics, before.metrics, after.metrics),
            "classes": _pairs(classes, _class_scores(before), _class_scores(after)),
            "groups": _pairs(groups, _group_scores(before), _group_scores(after)),
            "worse": [
                *(name for name, change in metrics.items() if change.verdict == "worse"),
                *(one.label for one in comparison.worse_classes),
                *(f"{one.field}={one.value}" for one in comparison.worse_groups),
            ],
        }


def score_predictions(
    task: Mapping[str, Any] | Task,
    records: Sequence[Mapping[str, Any]],
    predictions: Predictions,
    unit: str | None = None,
    seed: int = 17,
    by: Sequence[str] = (),
) -> ScoredPredictions:
    """Scores of predictions, with intervals that count independent units.

    Args:
        task: the task as in an experiment file, such as `{"kind": "classify", "labels": [...], ...}`.
        records: mappings with an `id` and the fields that the task asks about, references among them; pictures are
            paths relative to the current folder, or bytes.
        predictions: for each record's id an answer's text, or a mapping with `answer` (or `reading`, the value that it
            states) and optionally `probabilities` by label.
        unit: a field whose equal values make records one independent unit, such as a patient; None takes pictures or
            contexts that records share, else each record.
        seed: draws what tests draw; equal seeds give equal numbers.
        by: fields by whose values scores are given as well.

    Raises ExperimentError for a task that cannot be, DataError for records without a reference, and for predictions
    that are missing, doubled, or of no record.
    """
    with _asked(task, records, unit, by) as asked:
        return _scored(asked, predictions, "predictions", seed)


def compare_predictions(
    task: Mapping[str, Any] | Task,
    records: Sequence[Mapping[str, Any]],
    base: Predictions,
    tuned: Predictions,
    unit: str | None = None,
    seed: int = 17,
    by: Sequence[str] = (),
) -> ComparedPredictions:
    """What changed from one model's predictions to another's on the same records, tested in pairs.

    Arguments and errors are those of `score_predictions`; a run's page is made from the same comparison.
    """
    with _asked(task, records, unit, by) as asked:
        first, second = _scored(asked, base, "base", seed), _scored(asked, tuned, "tuned", seed)
    settings = settings_of_rows(asked.settings, asked.task, [*first.rows, *second.rows])
    return ComparedPredictions(
        first, second, compare_rows(first.rows, second.rows, asked.task, settings, seed)
    )


@dataclass(frozen=True)
class _Asked:
    """The records as questions with their references."""

    task: Task
    records: Sequence[Record]
    conversations: Sequence[Conversation]
    settings: Evaluate


@contextmanager
def _asked(
    task: Mapping[str, Any] | Task, records: Sequence[Mapping[str, Any]], unit: str | None, by: Sequence[str]
) -> Iterator[_Asked]:
    """The records as questions; copies of pictures that come as bytes are there until the block ends."""
    task = task if isinstance(task, Task) else _task_of(task)
    with TemporaryDirectory(prefix="tunesmith-") as copies:
        known = _records_of(task, records, Path(copies))
        task = task.decided(task.decide([known]))
        check_fields(known, by, "by")
        yield _Asked(task, known, conversations_of(task, known), Evaluate(by=list(by), unit=unit))


def _scored(asked: _Asked, predictions: Predictions, name: str, seed: int) -> ScoredPredictions:
    given, faults = {}, []
    for id, value in predictions.items():
        try:
            given[str(id)] = ExternalPrediction.of(value)
        except ValueError as fault:
            faults.append(f"{name}: {id}: {fault}")
    raise_first(faults)
    one_each = matched(asked.records, given, name)
    rows = rows_of_predictions(asked.task, asked.records, asked.conversations, one_each, name, asked.settings)
    settings = settings_of_rows(asked.settings, asked.task, rows)
    return ScoredPredictions(score(rows, asked.task, settings, seed, name), tuple(rows))


def _task_of(values: Mapping[str, Any]) -> Task:
    """The task of a mapping, checked as in an experiment file."""
    experiment = experiment_from(
        {
            "name": "predictions",
            "model": {"path": "none"},
            "data": {"source": {"kind": "jsonl", "path": "records.jsonl"}},
            "stages": [{"parts": {"language": {"kind": "lora"}}, "steps": 1}],
            "task": dict(values),
        },
        where="task",
    )
    task: Task = experiment.task
    return task


def _records_of(task: Task, records: Sequence[Mapping[str, Any]], copies: Path) -> list[Record]:
    """The mappings as records with their pictures; DataError names those that are none, and ids that occur twice."""
    if not records:
        raise DataError("records: there are none; give at least one")
    without = [number for number, one in enumerate(records, 1) if one.get("id") is None]
    if without:
        raise DataError(f"records: record {without[0]} has no 'id', as {len(without):,} of {len(records):,}")
    counts = Counter(str(one["id"]) for one in records)
    twice = [id for id, count in counts.items() if count > 1]
    if twice:
        raise DataError(
            f"records: id {twice[0]!r} occurs {counts[twice[0]]} times; every record needs its own"
        )
    rows: Any = (task.laid_out(Record(str(one["id"]), dict(one))) for one in records)
    if task.picture_fields():
        settings = PictureSettings(outside=True)
        rows = ImageIngestor(settings, task.picture_fields(), copies).resolve(rows, lambda _: Path())
    known, faults = [], []
    for row in rows:
        if isinstance(row, BadRow):
            faults.append(f"{row.where}: {row.why}")
        else:
            known.append(row)
    raise_first(faults)
    return known


def _pairs(
    changes: Mapping[str, Change], before: Mapping[str, Score], after: Mapping[str, Score]
) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "base": change.first,
            "base_interval": _ends(before.get(name)),
            "tuned": change.second,
            "tuned_interval": _ends(after.get(name)),
            "change": change.change,
            "interval": _ends(change),
            "p": change.p_value if math.isfinite(change.p_value) else None,
            "verdict": change.verdict,
            "reason": change.reason,
        }
        for name, change in changes.items()
    }


def _value(score: Score) -> dict[str, Any]:
    return {"value": score.value, "interval": _ends(score)}


def _ends(measured: Score | Change | None) -> list[float] | None:
    """The ends of an interval, or None if there is none."""
    if measured is None or not (math.isfinite(measured.low) and math.isfinite(measured.high)):
        return None
    return [measured.low, measured.high]


def _class_scores(scores: Scores) -> dict[str, Score]:
    names = {label: f"{_CLASS_METRIC}/{label}" for label in scores.labels or ()}
    return {label: scores.metrics[name] for label, name in names.items() if name in scores.metrics}


def _group_scores(scores: Scores) -> dict[str, Score]:
    return {
        f"{field}={value}": group.metrics[scores.primary]
        for field, groups in scores.by.items()
        for value, group in groups.items()
        if scores.primary in group.metrics
    }
