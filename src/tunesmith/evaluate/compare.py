"""Two evaluations on the same held-out records, paired: what changed, how surely, and for which records."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float

from tunesmith.config.settings import FloatOrNull
from tunesmith.errors import ExperimentError
from tunesmith.evaluate.choice import metric_of, primary_metric, resolve_metrics
from tunesmith.evaluate.groups import FEWEST_RECORDS, groups_of
from tunesmith.evaluate.rows import Row, read_rows
from tunesmith.evaluate.scores import Scores, measures_of, outcomes_of, tells
from tunesmith.files import write_json
from tunesmith.metrics._intervals import bootstrap, interval
from tunesmith.tasks import Task

if TYPE_CHECKING:
    from tunesmith.config.experiment import Evaluate

Verdict = Literal["better", "worse", "no clear change", "too few to tell"]
_SHARES_OF_CORRECT = ("accuracy", "exact_match")
_TELLS_WORSE_CLASSES = "f1"
_SIGNIFICANT = 0.05
_SMALLEST_CHANGE = 5e-4
"""Of an interval nearer to 0, nothing would be left on the page: 0.05 points of a share."""


@dataclass(frozen=True)
class Change:
    """What became of one metric."""

    first: float
    second: float
    change: float
    """Second less first."""
    low: FloatOrNull
    """Lower end of the paired 95 % interval of the change; NaN where there is none."""
    high: FloatOrNull
    p_value: FloatOrNull
    """Two-sided, of no change; corrected for the family of changes that are tested together."""
    test: Literal["mcnemar", "swaps", "sign flips", "bootstrap"]
    """`bootstrap` stands in files from before there were tests by swaps."""
    verdict: Verdict
    """`better` or `worse` only if the corrected test and the interval agree."""
    p_alone: float | None = None
    """The p-value of this change as if it were the only one that is tested."""
    reason: str | None = None
    """Why there are too few to tell; None for any other verdict."""


@dataclass(frozen=True)
class WorseClass:
    """A class that clearly got worse."""

    label: str
    metric: str
    first: float
    second: float
    change: float
    low: FloatOrNull
    high: FloatOrNull


@dataclass(frozen=True)
class GroupChange:
    """What became of the records that have one value of a field."""

    records: int
    metrics: Mapping[str, Change]
    """Of the metrics that are given of groups. A group of few records has no intervals and no verdict."""
    units: int | None = None
    """Number of independent units that the records belong to."""


@dataclass(frozen=True)
class WorseGroup:
    """A group of records that clearly got worse."""

    field: str
    value: str
    records: int
    metric: str
    first: float
    second: float
    change: float
    low: FloatOrNull
    high: FloatOrNull


@dataclass(frozen=True)
class Comparison:
    """`comparison.json` (docs/run-folder.md)."""

    first: str
    second: str
    records: int
    metrics: Mapping[str, Change]
    worse_classes: tuple[WorseClass, ...]
    fixed: tuple[str, ...]
    """Ids of the records that only the second answered rightly."""
    broken: tuple[str, ...]
    """Ids of the records that only the first answered rightly."""
    num_fixed: int
    num_broken: int
    by: Mapping[str, Mapping[str, GroupChange]] = dataclasses.field(default_factory=dict)
    """By field that results are broken down by, and by its value."""
    worse_groups: tuple[WorseGroup, ...] = ()
    """Groups whose primary metric clearly got worse, the worst of each field first."""
    perhaps_worse_classes: tuple[WorseClass, ...] = ()
    """Classes that are suggestive only: of those named so, one in ten is named by chance."""
    perhaps_worse_groups: tuple[WorseGroup, ...] = ()
    """Groups that are suggestive only, likewise."""
    units: int | None = None
    """Number of independent units; None in files from before there were units."""
    unit_told_by: str = "record"
    """What records of one unit have in common: a field, `picture`, ..., or `record` where each is its own unit."""


def compare(first: Path, second: Path, task: Task, settings: Evaluate, seed: int) -> Comparison:
    """The comparison of two evaluations by their folders; it is written to `comparison.json` in the second.

    Raises ExperimentError if the two are not on the same records.
    """
    names = [Scores.read(folder / "scores.json").evaluation for folder in (first, second)]
    rows = [read_rows(folder / "rows.jsonl") for folder in (first, second)]
    comparison = compare_rows(rows[0], rows[1], task, settings, seed, names=(names[0], names[1]))
    by = compare_groups(rows[0], rows[1], task, settings, seed)
    worse = tuple(_worse_groups(by, primary_metric(task, settings)[0]))
    comparison = dataclasses.replace(comparison, by=by, worse_groups=worse)
    write_json(second / "comparison.json", dataclasses.asdict(comparison))
    return comparison


def compare_rows(
    first: Sequence[Row],
    second: Sequence[Row],
    task: Task,
    settings: Evaluate,
    seed: int,
    names: tuple[str, str] = ("base", "tuned"),
) -> Comparison:
    """What changed from the first rows to the second. Rows are matched by record and content, in any order.

    Raises ExperimentError if they are not of the same records.
    """
    second = _in_order_of(first, second)
    changes = _changes(first, second, task, settings, seed)
    fixed, broken = _fixed(first, second), _fixed(second, first)
    return Comparison(
        *names,
        records=len(first),
        metrics=changes,
        worse_classes=tuple(_worse_classes(changes)),
        fixed=fixed,
        broken=broken,
        num_fixed=len(fixed),
        num_broken=len(broken),
        units=len({row.unit for row in first}),
        unit_told_by=first[0].unit_told_by,
    )


def compare_groups(
    first: Sequence[Row], second: Sequence[Row], task: Task, settings: Evaluate, seed: int
) -> dict[str, dict[str, GroupChange]]:
    """What changed in each group of the records, by field and value; rows are matched as `compare_rows` does."""
    second = _in_order_of(first, second)
    groups = groups_of(second, settings.by)
    fewer = settings.model_copy(update={"resamples": groups.resamples(settings.resamples)})
    primary = primary_metric(task, settings)[0]

    def change_of(group: Sequence[int]) -> GroupChange:
        before, after = ([rows[index] for index in group] for rows in (first, second))
        changes = _changes(before, after, task, fewer, seed)
        told = {name: _surely(one, len(group)) for name, one in changes.items() if tells(name, primary)}
        return GroupChange(len(group), told, len({first[index].unit for index in group}))

    return {
        name: {value: change_of(group) for value, group in values.items()}
        for name, values in groups.rows.items()
    }


def _surely(change: Change, records: int) -> Change:
    """The change as it is told of a group: where groups are small the interval alone says too much, so that the
    test must agree with it."""
    if records < FEWEST_RECORDS:
        return dataclasses.replace(change, low=math.nan, high=math.nan, verdict="no clear change")
    if change.p_value >= _SIGNIFICANT:
        return dataclasses.replace(change, verdict="no clear change")
    return change


def _changes(
    first: Sequence[Row], second: Sequence[Row], task: Task, settings: Evaluate, seed: int
) -> dict[str, Change]:
    """What became of each metric that both have."""
    before, after = outcomes_of(first, task), outcomes_of(second, task)
    metrics = resolve_metrics(task, settings)
    measure_first, measure_second = measures_of(metrics, before), measures_of(metrics, after)

    def differences(weights: Float[np.ndarray, "row"]) -> dict[str, float]:
        start = measure_first(weights)
        return {name: value - start[name] for name, value in measure_second(weights).items()}

    resampled = bootstrap(differences, len(first), settings.resamples, seed)
    num_fixed, num_broken = len(_fixed(first, second)), len(_fixed(second, first))
    everyone = np.ones(len(first))
    values, start = measure_second(everyone), measure_first(everyone)
    return {
        name: _change(name, start[name], value, resampled[name], num_fixed, num_broken)
        for name, value in values.items()
        if not math.isnan(value - start[name])
    }


def mcnemar(num_fixed: int, num_broken: int) -> float:
    """Two-sided p-value of the exact McNemar test (McNemar 1947; Fagerland et al. 2013, equation 2).

    >>> mcnemar(0, 5)
    0.0625
    """
    changed = num_fixed + num_broken
    ways, tail = 1, 0
    for count in range(min(num_fixed, num_broken) + 1):
        tail += ways
        ways = ways * (changed - count) // (count + 1)
    return min(1.0, 2 * tail / 2**changed)


def _in_order_of(first: Sequence[Row], second: Sequence[Row]) -> list[Row]:
    by_record = {(row.record, row.sha256): row for row in second}
    wanted = [(row.record, row.sha256) for row in first]
    here, there = set(wanted) - by_record.keys(), by_record.keys() - set(wanted)
    if here or there:
        example = min(here | there)[0]
        raise ExperimentError(
            f"the two evaluations are not on the same records: {len(here)} of {len(first)} are only in the "
            f"first, {len(there)} of {len(second)} only in the second (such as {example}). "
            "Evaluate both on the same split"
        )
    if not first:
        raise ExperimentError("the two evaluations have no records; there is nothing to compare")
    return [by_record[record] for record in wanted]


def _fixed(first: Sequence[Row], second: Sequence[Row]) -> tuple[str, ...]:
    """Ids of the records that are wrong in the first and right in the second."""
    pairs = zip(first, second, strict=True)
    return tuple(b.record for a, b in pairs if a.marks.get("correct") == 0 and b.marks.get("correct") == 1)


def _change(
    name: str,
    first: float,
    second: float,
    resampled: Float[np.ndarray, "resample"],
    num_fixed: int,
    num_broken: int,
) -> Change:
    low, high = interval(resampled)
    verdict: Verdict = "no clear change"
    if (low > 0 or high < 0) and max(abs(low), abs(high)) >= _SMALLEST_CHANGE:
        verdict = "better" if (low > 0) == (metric_of(name).better == "higher") else "worse"
    is_share = name in _SHARES_OF_CORRECT
    return Change(
        first=first,
        second=second,
        change=second - first,
        low=low,
        high=high,
        p_value=mcnemar(num_fixed, num_broken) if is_share else _bootstrap_p_value(resampled),
        test="mcnemar" if is_share else "bootstrap",
        verdict=verdict,
    )


def _bootstrap_p_value(resampled: Float[np.ndarray, "resample"]) -> float:
    """Twice the share of resamples on the rarer side of 0, counting the change itself as one of them (Davison
    and Hinkley 1997, section 4.2.3)."""
    measured = resampled[~np.isnan(resampled)]
    rarer = min((measured <= 0).sum(), (measured >= 0).sum())
    return min(1.0, 2 * (float(rarer) + 1) / (len(measured) + 1))


def _worse_classes(changes: Mapping[str, Change]) -> list[WorseClass]:
    """The classes whose F1 clearly fell, the worst first."""
    worse = [
        WorseClass(label, metric, change.first, change.second, change.change, change.low, change.high)
        for name, change in changes.items()
        for metric, _, label in [name.partition("/")]
        if metric == _TELLS_WORSE_CLASSES and label and change.verdict == "worse"
    ]
    return sorted(worse, key=lambda one: one.change)


def _worse_groups(by: Mapping[str, Mapping[str, GroupChange]], primary: str) -> Iterator[WorseGroup]:
    """The groups whose primary metric clearly got worse, field by field, the worst first."""
    for field, groups in by.items():
        worse = [
            WorseGroup(
                field,
                value,
                group.records,
                primary,
                change.first,
                change.second,
                change.change,
                change.low,
                change.high,
            )
            for value, group in groups.items()
            if (change := group.metrics.get(primary)) is not None and change.verdict == "worse"
        ]
        yield from sorted(worse, key=lambda one: -abs(one.change))
