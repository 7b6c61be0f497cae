"""Many runs side by side: one table and one page, paired on the same held-out records."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.errors import DataError, ExperimentError, TunesmithError, counted
from tunesmith.evaluate.changes import Change
from tunesmith.evaluate.choice import metric_of
from tunesmith.evaluate.compare import compare_rows
from tunesmith.evaluate.scores import Score
from tunesmith.files import as_json
from tunesmith.report import summary, words
from tunesmith.report.charts import Plot
from tunesmith.report.curves import overlaid_curves
from tunesmith.report.page import write_page
from tunesmith.report.run_folder import Evaluated, RunFolder, read_run_folder

if TYPE_CHECKING:
    from tunesmith.config.experiment import Experiment


@dataclass(frozen=True)
class Entry:
    """A line of the table: a base model or a run."""

    name: str
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
    """Two runs on the same held-out records."""

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
    classes: Mapping[str, Sequence[Score | None]]
    class_metric: str
    groups: Mapping[str, Mapping[str, Sequence[Score | None]]]
    """The primary metric by field and value: one of each entry."""
    curves: tuple[Plot, ...]
    notices: tuple[str, ...]


def write_comparison(run_folders: Sequence[Path], output: Path) -> Path:
    """Path of the page that was written. DataError if no run is evaluated, or a file of one is broken."""
    return write_compared(compare_folders(run_folders, output.parent), output)


def write_compared(compared: Compared, output: Path) -> Path:
    """Path of the comparison's page."""
    return write_page("comparison.html.jinja", output, compared=compared)


def compare_folders(run_folders: Sequence[Path], beside: Path) -> Compared:
    """The comparison of runs, for a page in the folder `beside`; raises as `write_comparison` does.

    The folder of an experiment stands for all its runs.
    """
    folders = [run for folder in run_folders for run in _runs_in(folder)]
    return compare_runs([read_run_folder(folder) for folder in folders], beside)


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


def compare_runs(runs: Sequence[RunFolder], beside: Path) -> Compared:
    """The comparison of runs, for a page in the folder `beside`. DataError if none of them is evaluated."""
    evaluated = [run.tuned for run in runs if run.tuned is not None]
    if not evaluated:
        raise DataError("compare: none of these runs is evaluated yet; `tunesmith run` finishes them")
    primary = evaluated[0].scores.primary
    names = short_names(runs)
    entries = [
        *_base_entries(runs, names, primary),
        *(_run_entry(run, name, primary, beside) for run, name in zip(runs, names, strict=True)),
    ]
    metrics = dict.fromkeys(metric for entry in entries for metric in entry.measures if "/" not in metric)
    metrics.pop(primary, None)
    class_metric, classes = _class_table(entries)
    pairs, notices = _pairs(runs, names, primary)
    return Compared(
        title=", ".join(dict.fromkeys(run.run.experiment for run in runs)),
        headline=_headline(
            entries[-len(runs) :], evaluated[0].scores.records, primary, pairs, is_fair=not notices
        ),
        primary=primary,
        metrics=(primary, *metrics),
        facts=tuple(dict.fromkeys(fact for entry in entries for fact in entry.facts)),
        entries=tuple(entries),
        pairs=tuple(pairs),
        classes=classes,
        class_metric=class_metric,
        groups=_group_tables(entries),
        curves=tuple(overlaid_curves(runs, names, primary)),
        notices=(*notices, *_unfinished(runs, names)),
    )


def short_names(runs: Sequence[RunFolder]) -> list[str]:
    """What tells the runs apart: the variant if that does, else experiment and variant, else the folder."""
    candidates = (
        [run.run.label for run in runs],
        [run.name for run in runs],
        [str(run.path) for run in runs],
    )
    return next((names for names in candidates if len(set(names)) == len(names)), candidates[-1])


def _base_entries(runs: Sequence[RunFolder], names: Sequence[str], primary: str) -> Iterator[Entry]:
    """A line for each base model, named after its runs if there is more than one."""
    bases: dict[Path, list[str]] = {}
    scores: dict[Path, Evaluated] = {}
    for run, name in zip(runs, names, strict=True):
        if run.base is not None:
            folder = run.base.folder.resolve()
            bases.setdefault(folder, []).append(name)
            scores[folder] = run.base
    for folder, used_by in bases.items():
        name = "base" if len(bases) == 1 else f"base of {', '.join(used_by)}"
        base = scores[folder]
        yield Entry(name, base.scores.metrics, {}, None, None, _groups(base, primary))


def _run_entry(run: RunFolder, name: str, primary: str, beside: Path) -> Entry:
    shown = ("Trained weights", "Saved", "Peak memory", "Training time")
    known = dict(summary.facts(run))
    page = run.path / "report.html"
    return Entry(
        name=name,
        measures=run.tuned.scores.metrics if run.tuned else {},
        facts={fact: known[fact] for fact in shown if fact in known},
        change=run.comparison.metrics.get(primary) if run.comparison else None,
        page=Path(os.path.relpath(page, beside)).as_posix() if page.exists() else None,
        groups=_groups(run.tuned, primary) if run.tuned else {},
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
    """The last metric that is had per class (F1, where there is one), by class: a value of each entry."""
    split = [metric.partition("/")[::2] for entry in entries for metric in entry.measures if "/" in metric]
    if not split:
        return "", {}
    chosen = "f1" if any(metric == "f1" for metric, _ in split) else split[-1][0]
    labels = dict.fromkeys(label for metric, label in split if metric == chosen)
    return chosen, {label: [entry.measures.get(f"{chosen}/{label}") for entry in entries] for label in labels}


def _headline(
    entries: Sequence[Entry], records: int, primary: str, pairs: Sequence[Pair], is_fair: bool
) -> str:
    """The best run by the primary metric, and which others are not clearly worse; fair if all were paired."""
    ranked = sorted(
        (entry for entry in entries if primary in entry.measures), key=lambda it: _badness(it, primary)
    )
    best, measure = ranked[0], ranked[0].measures[primary]
    where = f"on {counted(records, 'held-out record')}" if is_fair else "that cannot all be paired"
    text = (
        f"Of {len(entries)} runs {where}, {best.name} has the best "
        f"{words.within(words.title(primary))}: {words.with_interval(measure)}."
    )
    equal = [
        pair.first if pair.second == best.name else pair.second
        for pair in pairs
        if best.name in (pair.first, pair.second) and pair.change.verdict == "no clear change"
    ]
    return text + (f" No clear difference from {', '.join(equal)}." if equal else "")


def _badness(entry: Entry, metric: str) -> float:
    measure = entry.measures[metric]
    return -measure.value if measure.better == "higher" else measure.value


def _unfinished(runs: Sequence[RunFolder], names: Sequence[str]) -> Iterator[str]:
    for run, name in zip(runs, names, strict=True):
        for line in run.missing:
            yield f"{name}: {line}"


def _pairs(runs: Sequence[RunFolder], names: Sequence[str], primary: str) -> tuple[list[Pair], list[str]]:
    """Every two evaluated runs, paired on their rows; and why those that cannot be are not."""
    pairs, notices = [], []
    evaluated = [
        (run, run.tuned, name) for run, name in zip(runs, names, strict=True) if run.tuned is not None
    ]
    for (first, before, first_name), (second, after, second_name) in itertools.combinations(evaluated, 2):
        try:
            if first.settings.get("task") != second.settings.get("task"):
                raise ExperimentError("they have different tasks; compare runs of one task")
            change = _paired(before, after, first.experiment, primary)
        except TunesmithError as error:
            notices.append(f"{first_name} and {second_name} cannot be paired: {error}")
        else:
            shown = words.changed(change, metric_of(primary).unit)
            pairs.append(Pair(first_name, second_name, change, shown))
    return pairs, notices


def _paired(first: Evaluated, second: Evaluated, experiment: Experiment, metric: str) -> Change:
    """What became of one metric; ExperimentError if the two are not on the same records or lack it."""
    settings = experiment.evaluate.model_copy(update={"metric": metric, "metrics": []})
    changes = compare_rows(first.rows, second.rows, experiment.task, settings, experiment.seed).metrics
    if metric not in changes:
        raise ExperimentError(
            f"{words.title(metric)} cannot be had of both; evaluate both with the same settings"
        )
    return changes[metric]
