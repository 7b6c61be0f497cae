"""Two evaluations on the same held-out records, paired: what changed, how surely, and for which records."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tunesmith.config.settings import FloatOrNull
from tunesmith.errors import ExperimentError
from tunesmith.evaluate.changes import Change, Draft, drafts_of, exchanges_of, perhaps_worse, settled
from tunesmith.evaluate.defaults import primary_metric, resolve_metrics
from tunesmith.evaluate.estimates import Units
from tunesmith.evaluate.form import FormAndContent, form_and_content
from tunesmith.evaluate.groups import groups_of
from tunesmith.evaluate.rows import Row, read_rows
from tunesmith.evaluate.scores import outcomes_of, read_scores, tells
from tunesmith.evaluate.significance import Signs
from tunesmith.runs.json_file import JsonFile
from tunesmith.tasks import Task

if TYPE_CHECKING:
    from tunesmith.config.experiment import Evaluate

_TELLS_WORSE_CLASSES = ("f1", "labels_f1_macro")
_PARTS_OF_F1 = ("precision", "recall")


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
    """Of the metrics that are given of groups. A group of few units has no intervals and no verdict."""
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
    unit_kind: str = "record"
    """What records of one unit have in common: a field, `picture`, ..., or `record` where each is its own unit."""
    form: FormAndContent | None = None
    """How the change divides into answers that only one of the two gave in a form that can be read, and all others."""


COMPARISON = JsonFile[Comparison]("comparison.json", Comparison)


def compare(first: Path, second: Path, task: Task, settings: Evaluate, seed: int) -> Comparison:
    """The comparison of two evaluations by their folders; it is written to `comparison.json` in the second.

    Raises ExperimentError if the two are not on the same records.
    """
    names = [read_scores(folder).evaluation for folder in (first, second)]
    rows = [read_rows(folder / "rows.jsonl") for folder in (first, second)]
    comparison = compare_rows(rows[0], rows[1], task, settings, seed, names=(names[0], names[1]))
    COMPARISON.write(second, comparison)
    return comparison


def compare_rows(
    first: Sequence[Row],
    second: Sequence[Row],
    task: Task,
    settings: Evaluate,
    seed: int,
    names: tuple[str, str] = ("base", "tuned"),
) -> Comparison:
    """What changed from the first rows to the second, of all and of each group of them. Rows are matched by record and
    content, in any order.

    Raises ExperimentError if they are not of the same records.
    """
    second = in_order_of(first, second)
    units, signs = exchanges_of(first, second, settings.num_resamples, seed)
    primary, metrics = primary_metric(task, settings)[0], resolve_metrics(task, settings)
    outcomes = outcomes_of(first, task), outcomes_of(second, task)
    drafts = drafts_of(metrics, outcomes, units, signs, seed)
    changes = settled({draft: family_of(draft.name, primary) for draft in drafts}, signs.is_exact)
    classes = {draft: one for draft, one in changes.items() if _is_telling_class(draft.name)}
    groups = _Groups.of(first, second, task, settings, units, signs, seed)
    fixed, broken = _fixed(first, second), _fixed(second, first)
    return Comparison(
        *names,
        records=len(first),
        metrics={draft.name: change for draft, change in changes.items()},
        worse_classes=_named_classes(draft for draft, one in classes.items() if one.verdict == "worse"),
        fixed=fixed,
        broken=broken,
        num_fixed=len(fixed),
        num_broken=len(broken),
        by=groups.by(),
        worse_groups=groups.named(primary, "worse"),
        perhaps_worse_classes=_named_classes(perhaps_worse(classes)),
        perhaps_worse_groups=groups.named(primary, "perhaps worse"),
        units=units.number,
        unit_kind=first[0].unit_kind,
        form=form_and_content(first, second, primary),
    )


@dataclass(frozen=True, eq=False)
class _Groups:
    """The changes of all groups: those of the primary metric are tested together, and those of all others."""

    drafts: Mapping[tuple[str, str], list[Draft]]
    changes: Mapping[Draft, Change]
    sizes: Mapping[tuple[str, str], tuple[int, int]]
    """Records and units of each."""

    @staticmethod
    def of(
        first: Sequence[Row],
        second: Sequence[Row],
        task: Task,
        settings: Evaluate,
        units: Units,
        signs: Signs,
        seed: int,
    ) -> _Groups:
        """The groups of paired rows."""
        primary, metrics = primary_metric(task, settings)[0], resolve_metrics(task, settings)
        metrics = tuple(name for name in metrics if tells(name, primary) or name == primary.partition("/")[0])
        drafts, sizes = {}, {}
        for field, values in groups_of(second, settings.by).rows.items():
            for value, rows in values.items():
                some = units.some(rows)
                before, after = (
                    outcomes_of([them[index] for index in rows], task) for them in (first, second)
                )
                found = drafts_of(metrics, (before, after), some, signs, seed, is_group=True)
                drafts[field, value] = [draft for draft in found if tells(draft.name, primary)]
                sizes[field, value] = (len(rows), some.number)
        every = [draft for found in drafts.values() for draft in found]
        return _Groups(drafts, settled({one: one.name == primary for one in every}, signs.is_exact), sizes)

    def by(self) -> dict[str, dict[str, GroupChange]]:
        """The changes by field and value."""
        found: dict[str, dict[str, GroupChange]] = {}
        for (field, value), drafts in self.drafts.items():
            records, units = self.sizes[field, value]
            metrics = {draft.name: self.changes[draft] for draft in drafts}
            found.setdefault(field, {})[value] = GroupChange(records, metrics, units)
        return found

    def named(self, primary: str, what: Literal["worse", "perhaps worse"]) -> tuple[WorseGroup, ...]:
        """The groups whose primary metric got worse, or perhaps did, field by field, the worst first."""
        telling = {draft: one for draft, one in self.changes.items() if draft.name == primary}
        if what == "worse":
            chosen = {draft for draft, one in telling.items() if one.verdict == "worse"}
        else:
            chosen = set(perhaps_worse(telling))
        found = [
            WorseGroup(field, value, self.sizes[field, value][0], draft.name, *_what_became(draft))
            for (field, value), drafts in self.drafts.items()
            for draft in drafts
            if draft in chosen
        ]
        fields = list(dict.fromkeys(field for field, _ in self.drafts))
        return tuple(sorted(found, key=lambda group: (fields.index(group.field), -abs(group.change))))


def in_order_of(first: Sequence[Row], second: Sequence[Row]) -> list[Row]:
    """The second rows in the order of the first; ExperimentError if they are not of the same records."""
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


def family_of(name: str, primary: str) -> str | None:
    """Which changes a number is tested together with: the primary metric alone, the other metrics of all records, the
    classes of one metric (precision and recall of classes as one)."""
    if name == primary:
        return None
    metric, slash, _ = name.partition("/")
    if not slash:
        return "metrics"
    return "parts of F1" if metric in _PARTS_OF_F1 else f"classes by {metric}"


def _is_telling_class(name: str) -> bool:
    metric, slash, _ = name.partition("/")
    return bool(slash) and metric in _TELLS_WORSE_CLASSES


def _fixed(first: Sequence[Row], second: Sequence[Row]) -> tuple[str, ...]:
    """Ids of the records that are wrong in the first and right in the second."""
    pairs = zip(first, second, strict=True)
    return tuple(b.record for a, b in pairs if a.marks.get("correct") == 0 and b.marks.get("correct") == 1)


def _named_classes(drafts: Iterable[Draft]) -> tuple[WorseClass, ...]:
    """The classes of these changes, the worst first."""
    found = [
        WorseClass(label, metric, *_what_became(draft))
        for draft in drafts
        for metric, _, label in [draft.name.partition("/")]
    ]
    return tuple(sorted(found, key=lambda group: group.change))


def _what_became(draft: Draft) -> tuple[float, float, float, float, float]:
    """Before, after, the change and its limits."""
    return draft.first, draft.second, draft.second - draft.first, draft.low, draft.high
