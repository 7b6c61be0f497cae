"""Many runs side by side: one table and one page, paired on the same held-out records."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tunesmith.errors import DataError, counted
from tunesmith.evaluate.changes import Change
from tunesmith.evaluate.defaults import metric_of
from tunesmith.evaluate.scores import Score
from tunesmith.files import as_json
from tunesmith.report import summary, words
from tunesmith.report.charts import Plot
from tunesmith.report.curves import overlaid_curves
from tunesmith.report.models import Kind, Model, references, short_names
from tunesmith.report.page import write_page
from tunesmith.report.pairing import Best, best_run, ranked
from tunesmith.report.run_folder import Evaluated, RunView, read_run_folder


@dataclass(frozen=True)
class Entry:
    """A line of the table: a base model, predictions from elsewhere, or a run."""

    name: str
    kind: Kind
    measures: Mapping[str, Score]
    facts: Mapping[str, str]
    change: Change | None
    """Of the primary metric, against the run's own base."""
    page: str | None
    """Where the run's own page lies, relative to the comparison's."""
    groups: Mapping[str, Mapping[str, Score]] = field(default_factory=dict)
    """The primary metric by field that results are broken down by, and by its value."""


@dataclass(frozen=True)
class Pair:
    """Two runs, or a run and predictions from elsewhere, on the same held-out records."""

    first: str
    second: str
    change: Change
    shown: str
    """The change of the primary metric in words."""


@dataclass(frozen=True)
class Compared:
    """What the page and the terminal show of many runs."""

    title: str
    headline: str
    primary: str
    metrics: tuple[str, ...]
    facts: tuple[str, ...]
    entries: tuple[Entry, ...]
    pairs: tuple[Pair, ...]
    best: Best | None
    """None if not all runs can be compared with each other."""
    classes: Mapping[str, Sequence[Score | None]]
    class_metric: str
    groups: Mapping[str, Mapping[str, Sequence[Score | None]]]
    """The primary metric by field and value: one of each entry."""
    curves: tuple[Plot, ...]
    notices: tuple[str, ...]
    units: str = ""
    """How many independent units intervals and tests count, in a sentence; empty where every record is one."""


def write_comparison(run_folders: Sequence[Path], output: Path) -> Path:
    """Path of the page that was written. DataError if no run is evaluated, or a file of one is broken."""
    return write_compared(compare_folders(run_folders, output.parent), output)


def write_compared(compared: Compared, output: Path) -> Path:
    """Path of the comparison's page."""
    return write_page("comparison.html.jinja", output, compared=compared)


def compare_folders(run_folders: Sequence[Path], page_folder: Path) -> Compared:
    """The comparison of runs, for a page in `page_folder`; raises as `write_comparison` does.

    The folder of an experiment means all its runs.
    """
    folders = [run for folder in run_folders for run in _runs_in(folder)]
    return compare_runs([read_run_folder(folder) for folder in folders], page_folder)


def _runs_in(folder: Path) -> list[Path]:
    """The runs in an experiment's folder; any other folder is itself taken for a run."""
    inside = sorted(file.parent for file in folder.glob("*/run.json"))
    return [folder] if (folder / "run.json").exists() or not inside else inside


def comparison_as_json(compared: Compared) -> str:
    """The comparison for a program, as one JSON object."""
    values = asdict(compared)
    for drawn in ("curves", "classes", "class_metric", "groups"):
        del values[drawn]
    return as_json(values, indent=2)


def compare_runs(runs: Sequence[RunView], page_folder: Path) -> Compared:
    """The comparison of runs, for a page in `page_folder`. DataError if none of them is evaluated."""
    evaluated = [run.tuned for run in runs if run.tuned is not None]
    if not evaluated:
        raise DataError("compare: none of these runs is evaluated yet; `tunesmith run` finishes them")
    primary = evaluated[0].scores.primary
    names = short_names(runs)
    models = [*references(runs, names), *itertools.starmap(Model.from_run, zip(runs, names, strict=True))]
    entries = [_entry(model, primary, page_folder) for model in models]
    metrics = dict.fromkeys(metric for entry in entries for metric in entry.measures if "/" not in metric)
    metrics.pop(primary, None)
    class_metric, classes = _class_table(entries)
    rankings = ranked(models, primary)
    unit = metric_of(primary).unit
    pairs = [Pair(*pair, change, words.changed(change, unit)) for pair, change in rankings.pairs.items()]
    best = best_run(rankings, models)
    return Compared(
        title=", ".join(dict.fromkeys(run.run.experiment for run in runs)),
        headline=_headline(entries[-len(runs) :], evaluated[0].scores.records, primary, best),
        primary=primary,
        metrics=(primary, *metrics),
        facts=tuple(dict.fromkeys(fact for entry in entries for fact in entry.facts)),
        entries=tuple(entries),
        pairs=tuple(pairs),
        best=best,
        classes=classes,
        class_metric=class_metric,
        groups=_group_tables(entries),
        curves=tuple(overlaid_curves(runs, names, primary)),
        notices=(*rankings.notices, *_unfinished(runs, names)),
        units=next(summary.units(run) for run in runs if run.tuned is not None),
    )


def _entry(model: Model, primary: str, page_folder: Path) -> Entry:
    measures = model.evaluated.scores.metrics if model.evaluated else {}
    groups = _groups(model.evaluated, primary) if model.evaluated else {}
    if model.kind != "run":
        return Entry(model.name, model.kind, measures, {}, None, None, groups)
    run = model.runs[0]
    shown = ("Trained weights", "Saved", "Peak memory", "Training time")
    known = dict(summary.facts(run))
    page = run.path / "report.html"
    return Entry(
        name=model.name,
        kind="run",
        measures=measures,
        facts={fact: known[fact] for fact in shown if fact in known},
        change=run.comparison.metrics.get(primary) if run.comparison else None,
        page=Path(os.path.relpath(page, page_folder)).as_posix() if page.exists() else None,
        groups=groups,
    )


def _groups(evaluated: Evaluated, metric: str) -> dict[str, dict[str, Score]]:
    """A metric of each group that has it."""
    return {
        field: {value: group.metrics[metric] for value, group in groups.items() if metric in group.metrics}
        for field, groups in evaluated.scores.by.items()
    }


def _group_tables(entries: Sequence[Entry]) -> dict[str, dict[str, list[Score | None]]]:
    """The primary metric by field and value: one of each entry, None where it has none."""
    fields = dict.fromkeys(field for entry in entries for field in entry.groups)
    return {
        field: {
            value: [entry.groups.get(field, {}).get(value) for entry in entries]
            for value in dict.fromkeys(value for entry in entries for value in entry.groups.get(field, {}))
        }
        for field in fields
    }


def _class_table(entries: Sequence[Entry]) -> tuple[str, dict[str, list[Score | None]]]:
    """The last metric per class (F1, where there is one), by class: a value of each entry."""
    split = [metric.partition("/")[::2] for entry in entries for metric in entry.measures if "/" in metric]
    if not split:
        return "", {}
    chosen = "f1" if any(metric == "f1" for metric, _ in split) else split[-1][0]
    labels = dict.fromkeys(label for metric, label in split if metric == chosen)
    return chosen, {label: [entry.measures.get(f"{chosen}/{label}") for entry in entries] for label in labels}


def _headline(entries: Sequence[Entry], records: int, primary: str, best: Best | None) -> str:
    """The best run by the primary metric, if it is clearly the best, and what it is worth; else the runs that are not
    clearly different from it."""
    ranked = sorted(
        (entry for entry in entries if primary in entry.measures), key=lambda it: _badness(it, primary)
    )
    top, measure = ranked[0], ranked[0].measures[primary]
    name, where = words.within(words.title(primary)), f"on {counted(records, 'held-out record')}"
    value = words.with_interval(measure)
    if best is None:
        if len(ranked) > 1:
            return (
                f"Of {len(entries)} runs that cannot all be paired, {top.name} has the best {name}: {value}."
            )
        return f"{top.name} has {name} {value} {where}."
    if len(ranked) == 1:
        text = f"{top.name} has {name} {value} {where}."
    elif best.equals:
        text = (
            f"Of {len(entries)} runs {where}, none is clearly the best by {name}: {top.name} has {value}, with no "
            f"clear difference from {', '.join(best.equals)}."
        )
    else:
        text = f"Of {len(entries)} runs {where}, {top.name} has the best {name}: {value}."
    return text + _worth(best, len(ranked), measure) + _against(best)


def _worth(best: Best, number: int, measure: Score) -> str:
    """The value of the best of several runs to be expected on new records: it was chosen for its own value, which is
    therefore too high."""
    if best.expected is None:
        return ""
    ends = words.interval(best.expected.low, best.expected.high, measure.unit)
    return (
        f" The best of {number} looks better than it is: on new records about "
        f"{words.number(best.expected.value, measure.unit)} ({ends}) is to be expected."
    )


def _against(best: Best) -> str:
    """Which bases and predictions from elsewhere the best run is clearly better or worse than, with all pairs corrected
    together."""
    text = ""
    for verdict, phrase in (
        ("better", "is clearly better than"),
        ("worse", "is clearly worse than"),
        (None, "is not clearly better than"),
    ):
        names = [
            name if name.startswith("base of") else f"the {name}" if name == "base" else name
            for name, one in best.against.items()
            if one == verdict or (verdict is None and one not in ("better", "worse"))
        ]
        if names:
            text += f" {best.name} {phrase} {words.listed(names)}."
    return text


def _badness(entry: Entry, metric: str) -> float:
    measure = entry.measures[metric]
    return -measure.value if measure.better == "higher" else measure.value


def _unfinished(runs: Sequence[RunView], names: Sequence[str]) -> Iterator[str]:
    for run, name in zip(runs, names, strict=True):
        for line in run.missing:
            yield f"{name}: {line}"
