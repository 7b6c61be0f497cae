"""What a run comes to, in words and rows; the page and the terminal show the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tunesmith.errors import counted
from tunesmith.evaluate.changes import Change, Verdict
from tunesmith.evaluate.compare import WorseClass, WorseGroup
from tunesmith.evaluate.defaults import meaning_of, metric_of
from tunesmith.evaluate.scores import Score, Scores
from tunesmith.report import words
from tunesmith.report.run_folder import RunView

_TELLING_SHARE = 0.1


@dataclass(frozen=True)
class Headline:
    """The run in one sentence."""

    text: str
    verdict: Verdict | None
    """None while there is nothing to compare."""


@dataclass(frozen=True)
class MetricRow:
    """One metric of the base model and of the tuned one. What is not there yet is None."""

    name: str
    base: Score | None
    tuned: Score | None
    change: Change | None

    @property
    def title(self) -> str:
        """The metric's name as a heading."""
        return words.title(self.name)

    @property
    def meaning(self) -> str:
        """What the metric is, in a phrase."""
        return meaning_of(self.name)

    @property
    def reason(self) -> str:
        """Why there is no verdict or no interval, or why it may be too narrow; empty if none of it holds."""
        measured = (self.change, self.tuned, self.base)
        return next((one.reason for one in measured if one is not None and one.reason), "")

    @property
    def measure(self) -> Score:
        """Whichever of the two is there: both have the same unit and direction."""
        found = self.tuned or self.base
        assert found is not None
        return found


@dataclass(frozen=True)
class GroupRow:
    """The records that have one value of a field."""

    value: str
    records: int
    metrics: tuple[MetricRow | None, ...]
    """In the order of the table's metrics; None for one that cannot be had of this group."""


@dataclass(frozen=True)
class GroupTable:
    """Results broken down by one field."""

    field: str
    metrics: tuple[str, ...]
    """The primary one first."""
    rows: tuple[GroupRow, ...]
    left_out: int
    """Values of the field that are not given because it has too many."""

    @property
    def title(self) -> str:
        """`By question type`."""
        return f"By {self.field.replace('_', ' ')}"


@dataclass(frozen=True)
class Mistake:
    """One class taken for another."""

    true: str
    predicted: str
    count: int
    before: int | None
    """How often the base model did the same."""


def headline(run: RunView) -> Headline:
    """What became of the primary metric, whatever it was."""
    scores = _latest(run)
    if scores is None or scores.primary not in scores.metrics:
        return Headline("There is no evaluation on held-out records yet.", None)
    row = metric_row(run, scores.primary)
    name, records = row.title, counted(scores.records, "held-out record")
    change, unit = row.change, row.measure.unit
    if change is None:
        which = "The tuned model's" if run.tuned else "The untouched base model's"
        return Headline(
            f"{which} {words.within(name)} on {records} is {words.with_interval(row.measure)}.", None
        )
    before, after = words.number(change.first, unit), words.number(change.second, unit)
    if change.verdict == "too few to tell":
        text = f"Too few to tell whether {words.within(name)} changed on {records}: it was {before} before and {after}"
        return Headline(f"{text} after; {change.reason}.", change.verdict)
    if change.verdict == "no clear change":
        text = f"No clear change: {words.within(name)} on {records} was {before} before and {after} after"
    else:
        verb = "rose" if change.change > 0 else "fell"
        text = f"{name} on {records} {'got worse: it ' if change.verdict == 'worse' else ''}{verb}"
        text += f" from {before} to {after}"
    of_form = f" {form(run)}" if change.verdict in ("better", "worse") and form(run) else ""
    return Headline(f"{text} ({words.changed(change, unit)}).{of_form}", change.verdict)


def units(run: RunView) -> str:
    """How many independent units intervals and tests count, in a sentence; empty where every record is one."""
    scores = _latest(run)
    if scores is None or scores.units is None or scores.unit_kind == "record":
        return ""
    return (
        f"The {counted(scores.records, 'held-out record')} are {counted(scores.units, 'independent unit')}, grouped by "
        f"{scores.unit_kind}. Records of one unit may depend on each other, so intervals and tests count units."
    )


def form(run: RunView) -> str:
    """How much of the change is form, in a sentence; empty if that is a tenth of it or less.

    Form is what comes of answers that only one of the two models gave in a form that can be read.
    """
    found = run.comparison.form if run.comparison else None
    if found is None or abs(found.form_share) <= _TELLING_SHARE:
        return ""
    metric = metric_of(primary(run))
    is_of_primary = found.mark in metric.needs
    unit = metric.unit if is_of_primary else "share"
    parts = [words.difference(part, unit) for part in (found.form, found.content)]
    what = "this change" if is_of_primary else "the change in the share of right answers"
    return (
        f"Of {what}, {parts[0]} come from the form of the answers ({words.count(found.now_read)} became "
        f"readable, {words.count(found.now_unread)} unreadable) and {parts[1]} from their content."
    )


def primary(run: RunView) -> str:
    """The metric that tells; before any evaluation on held-out records, the first that training looked at."""
    scores = _latest(run)
    if scores is not None:
        return scores.primary
    return next((name for stage in run.stages for event in stage.evaluations for name in event.metrics), "")


def metric_row(run: RunView, name: str) -> MetricRow:
    """One metric, before and after."""
    return MetricRow(
        name,
        run.base.scores.metrics.get(name) if run.base else None,
        run.tuned.scores.metrics.get(name) if run.tuned else None,
        run.comparison.metrics.get(name) if run.comparison else None,
    )


def metric_rows(run: RunView) -> list[MetricRow]:
    """Metrics of all records, the primary one first."""
    names = [name for name in _metric_names(run) if "/" not in name]
    names.sort(key=lambda name: name != primary(run))
    return [metric_row(run, name) for name in names]


def class_rows(run: RunView) -> tuple[list[str], dict[str, list[MetricRow | None]]]:
    """Metrics that are had per class (`f1/World`): their names, and by class a row each (None if absent)."""
    pairs = [name.partition("/")[::2] for name in _metric_names(run) if "/" in name]
    metrics, labels = dict.fromkeys(metric for metric, _ in pairs), dict.fromkeys(label for _, label in pairs)
    known = set(pairs)
    return list(metrics), {
        label: [
            metric_row(run, f"{metric}/{label}") if (metric, label) in known else None for metric in metrics
        ]
        for label in labels
    }


def group_tables(run: RunView) -> list[GroupTable]:
    """Results broken down, a table for each field."""
    scores = _latest(run)
    if scores is None:
        return []
    return [
        _group_table(run, field, tuple(groups), scores.left_out.get(field, 0))
        for field, groups in scores.by.items()
    ]


def _group_table(run: RunView, field: str, values: tuple[str, ...], left_out: int) -> GroupTable:
    base, tuned = (one.scores.by.get(field, {}) if one else {} for one in (run.base, run.tuned))
    changes = run.comparison.by.get(field, {}) if run.comparison else {}
    groups = [group for side in (tuned, base) for group in side.values()]
    names = dict.fromkeys((primary(run), *(name for group in groups for name in group.metrics)))

    def row(value: str, name: str) -> MetricRow | None:
        before, after = (side[value].metrics.get(name) if value in side else None for side in (base, tuned))
        change = changes[value].metrics.get(name) if value in changes else None
        return MetricRow(name, before, after, change) if before or after else None

    return GroupTable(
        field,
        tuple(names),
        tuple(
            GroupRow(value, (tuned or base)[value].records, tuple(row(value, name) for name in names))
            for value in values
        ),
        left_out,
    )


def worse(run: RunView) -> list[str]:
    """Everything that clearly got worse, a line each: metrics of all records first, then classes and groups."""
    return list(_worse(run))


def _worse(run: RunView) -> Iterator[str]:
    if run.comparison is None:
        return
    for row in metric_rows(run):
        if row.change is not None and row.change.verdict == "worse":
            yield _arrow(row.title, row.change, row.measure.unit)
    for change in run.comparison.worse_classes:
        name = f"{change.metric}/{change.label}"
        unit = metric_row(run, name).measure.unit if name in _metric_names(run) else "share"
        yield _arrow(words.title(name), change, unit)
    for group in run.comparison.worse_groups:
        yield _group_arrow(run, group)


def perhaps_worse(run: RunView) -> list[str]:
    """Classes and groups that are suggestive only, a line each: of those named so, one in ten is named by chance."""
    if run.comparison is None:
        return []
    classes = [
        _arrow(words.title(f"{one.metric}/{one.label}"), one, "share")
        for one in run.comparison.perhaps_worse_classes
    ]
    return [*classes, *(_group_arrow(run, group) for group in run.comparison.perhaps_worse_groups)]


def worse_alone(run: RunView) -> list[str]:
    """Titles of what clearly got worse of a class though its F1, which weighs it, did not: its precision or recall."""
    changes = run.comparison.metrics if run.comparison else {}
    return [
        words.title(name)
        for name, change in changes.items()
        if name.startswith(("precision/", "recall/")) and change.verdict == "worse"
    ]


def calibration(run: RunView) -> list[str]:
    """Confidence compared with accuracy, a sentence for each evaluation with class probabilities."""
    evaluations = (("Base", run.base), ("Tuned", run.tuned))
    return [
        f"{name} is {words.number(found.confidence, 'share')} sure on average and "
        f"{words.number(found.accuracy, 'share')} right: {'too sure' if found.too_sure > 0 else 'too unsure'} by "
        f"{words.difference(abs(found.too_sure), 'share').removeprefix('+')} "
        f"(95\u202f% interval of the difference {words.interval(found.low, found.high, 'share')}; "
        f"Spiegelhalter's test p {words.p_value(found.p_value)})"
        for name, evaluated in evaluations
        if evaluated is not None and (found := evaluated.scores.calibration) is not None
    ]


def unread(run: RunView) -> list[str]:
    """How many answers could not be read, a phrase for each evaluation that is there."""
    evaluations = (("base", run.base), ("tuned", run.tuned))
    return [
        f"{name} {words.count(scores.unread)} of {words.count(scores.records)} "
        f"({words.number(scores.unread / scores.records if scores.records else 0, 'share')})"
        for name, evaluated in evaluations
        if evaluated is not None and (scores := evaluated.scores)
    ]


def cut(run: RunView) -> list[str]:
    """How many answers reached the maximum length without an end token, a phrase for each evaluation with any."""
    evaluations = (("base", run.base), ("tuned", run.tuned))
    return [
        f"{name} {words.count(scores.cut)} of {words.count(scores.records)}"
        for name, evaluated in evaluations
        if evaluated is not None and (scores := evaluated.scores) and scores.cut
    ]


def common_mistakes(run: RunView, most: int) -> list[Mistake]:
    """The pairs of classes that the tuned model (the base, if there is none) mixes up most."""
    evaluated = run.tuned or run.base
    if evaluated is None or evaluated.scores.confusion is None:
        return []
    labels, counts = evaluated.scores.confusion.labels, evaluated.scores.confusion.counts
    before = run.base.scores.confusion if run.base and run.tuned else None
    answers = (*labels, "an unread answer")
    found = [
        Mistake(labels[true], answers[predicted], count, before.counts[true][predicted] if before else None)
        for true, row in enumerate(counts)
        for predicted, count in enumerate(row)
        if count and predicted != true
    ]
    return sorted(found, key=lambda mistake: -mistake.count)[:most]


def facts(run: RunView) -> list[tuple[str, str]]:
    """What the run cost and what it left: a few pairs of name and value."""
    parts = [part for stage in run.stages for part in stage.parts]
    most = {part.part: max(other.trained for other in parts if other.part == part.part) for part in parts}
    trained, total = sum(most.values()), sum({part.part: part.total for part in parts}.values())
    seconds = [stage.seconds for stage in run.stages if stage.seconds is not None]
    updates = [update for stage in run.stages for update in stage.updates]
    done = run.stages[-1].done if run.stages else None
    model = run.settings.get("model")
    pairs = [
        ("Base model", str(model["path"]) if isinstance(model, Mapping) and "path" in model else ""),
        (
            "Trained weights",
            f"{words.count(trained)} ({words.number(trained / total, 'share')})" if total else "",
        ),
        ("Training time", words.duration(sum(seconds)) if seconds else ""),
        ("Peak memory", f"{max(update.memory_gib for update in updates):.2f}\u202fGiB" if updates else ""),
        ("Saved", words.size(done.bytes) if done and done.bytes is not None else ""),
        ("Held-out records", words.count(scores.records) if (scores := _latest(run)) else ""),
    ]
    return [(name, value) for name, value in pairs if value]


def _group_arrow(run: RunView, group: WorseGroup) -> str:
    unit = metric_row(run, group.metric).measure.unit if group.metric in _metric_names(run) else "share"
    return _arrow(f"{words.title(group.metric)} where {group.field} is {group.value}:", group, unit)


def _arrow(name: str, change: Change | WorseClass | WorseGroup, unit: str) -> str:
    before, after = words.number(change.first, unit), words.number(change.second, unit)
    return f"{name} {before} → {after} ({words.changed(change, unit)})"


def _latest(run: RunView) -> Scores | None:
    evaluated = run.tuned or run.base
    return evaluated.scores if evaluated else None


def _metric_names(run: RunView) -> dict[str, None]:
    return dict.fromkeys(
        name
        for evaluated in (run.base, run.tuned)
        if evaluated is not None
        for name in evaluated.scores.metrics
    )
