"""Many runs side by side: one table and one page, paired on the same held-out records."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tunesmith.errors import DataError, ExperimentError, counted
from tunesmith.evaluate.changes import Change
from tunesmith.evaluate.compare import in_order_of
from tunesmith.evaluate.defaults import metric_of
from tunesmith.evaluate.ranking import Ranking, rank
from tunesmith.evaluate.rows import Row
from tunesmith.evaluate.scores import Score
from tunesmith.files import as_json
from tunesmith.report import summary, words
from tunesmith.report.charts import Plot
from tunesmith.report.curves import overlaid_curves
from tunesmith.report.page import write_page
from tunesmith.report.run_folder import Evaluated, RunView, read_run_folder

_BASE = "base in "
"""What the names of bases in a ranking begin with."""


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


def compare_runs(runs: Sequence[RunView], beside: Path) -> Compared:
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
    found = _ranked(runs, names, primary)
    unit = metric_of(primary).unit
    pairs = [Pair(*pair, change, words.changed(change, unit)) for pair, change in found.pairs.items()]
    return Compared(
        title=", ".join(dict.fromkeys(run.run.experiment for run in runs)),
        headline=_headline(
            entries[-len(runs) :], evaluated[0].scores.records, primary, found, is_fair=not found.notices
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
        notices=(*found.notices, *_unfinished(runs, names)),
    )


def short_names(runs: Sequence[RunView]) -> list[str]:
    """What tells the runs apart: the variant if that does, else experiment and variant, else the folder."""
    candidates = (
        [run.run.label for run in runs],
        [run.name for run in runs],
        [str(run.path) for run in runs],
    )
    return next((names for names in candidates if len(set(names)) == len(names)), candidates[-1])


def _base_entries(runs: Sequence[RunView], names: Sequence[str], primary: str) -> Iterator[Entry]:
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


def _run_entry(run: RunView, name: str, primary: str, beside: Path) -> Entry:
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


def _headline(entries: Sequence[Entry], records: int, primary: str, found: _Rankings, is_fair: bool) -> str:
    """The best run by the primary metric, if it is clearly the best, and what it is worth; else those that no one can
    tell from it."""
    ranked = sorted(
        (entry for entry in entries if primary in entry.measures), key=lambda it: _badness(it, primary)
    )
    best, measure = ranked[0], ranked[0].measures[primary]
    name, where = words.within(words.title(primary)), f"on {counted(records, 'held-out record')}"
    if not is_fair:
        return (
            f"Of {len(entries)} runs that cannot all be paired, {best.name} has the best {name}: "
            f"{words.with_interval(measure)}."
        )
    if not found.alike:
        return f"{best.name} has {name} {words.with_interval(measure)} {where}."
    ranking, names = found.alike[0]
    equals = ranking.equals_of(best.name, names)
    if len(names) == 1:
        text = f"{best.name} has {name} {words.with_interval(measure)} {where}."
    elif equals:
        text = (
            f"Of {len(entries)} runs {where}, none is clearly the best by {name}: {best.name} has "
            f"{words.with_interval(measure)}, with no clear difference from {', '.join(equals)}."
        )
    else:
        text = f"Of {len(entries)} runs {where}, {best.name} has the best {name}: {words.with_interval(measure)}."
    return text + _worth(ranking, names, measure) + _against_base(ranking, names, best.name)


def _worth(ranking: Ranking, names: Sequence[str], measure: Score) -> str:
    """What the best of several is worth on new records, for being chosen makes its own value too high."""
    shrunk = ranking.shrunk_best(names)
    if shrunk is None:
        return ""
    ends = words.interval(shrunk.low, shrunk.high, measure.unit)
    return (
        f" The best of {len(names)} looks better than it is: on new records about "
        f"{words.number(shrunk.value, measure.unit)} ({ends}) is to be expected."
    )


def _against_base(ranking: Ranking, names: Sequence[str], best: str) -> str:
    """Whether the best run is clearly better than every base, with all pairs corrected together."""
    bases = [name for name in ranking.estimates if name.startswith(_BASE)]
    if not bases:
        return ""
    which = "base" if len(bases) == 1 else "bases"
    if all(ranking.is_better(best, base) for base in bases):
        return f" {best} is clearly better than the {which}."
    return f" {best} is not clearly better than the {which}."


def _badness(entry: Entry, metric: str) -> float:
    measure = entry.measures[metric]
    return -measure.value if measure.better == "higher" else measure.value


def _unfinished(runs: Sequence[RunView], names: Sequence[str]) -> Iterator[str]:
    for run, name in zip(runs, names, strict=True):
        for line in run.missing:
            yield f"{name}: {line}"


@dataclass(frozen=True)
class _Rankings:
    """Every two models that can be paired, and why the others cannot be."""

    pairs: Mapping[tuple[str, str], Change]
    alike: Sequence[tuple[Ranking, Sequence[str]]]
    """Models on the same records with the same task, and which of them are runs (the others are bases)."""
    notices: Sequence[str]


def _ranked(runs: Sequence[RunView], names: Sequence[str], primary: str) -> _Rankings:
    """Evaluated runs and their bases in sets that can be compared, each set tested together."""
    evaluated = [
        (run, run.tuned, name) for run, name in zip(runs, names, strict=True) if run.tuned is not None
    ]
    notices = []
    sets: list[list[tuple[RunView, Evaluated, str]]] = []
    for one in evaluated:
        home = next((some for some in sets if _fault(some[0], one) is None), None)
        if home is None:
            sets.append([one])
        else:
            home.append(one)
    for first, second in itertools.combinations(evaluated, 2):
        if (fault := _fault(first, second)) is not None:
            notices.append(f"{first[2]} and {second[2]} cannot be paired: {fault}")
    alike: list[tuple[Ranking, list[str]]] = []
    pairs: dict[tuple[str, str], Change] = {}
    for some in sets:
        rows: dict[str, Sequence[Row]] = {name: tuned.rows for _, tuned, name in some if tuned.rows}
        for run, tuned, _ in some:
            if run.base is not None and rows and _is_same(tuned.rows, run.base.rows):
                rows.setdefault(f"{_BASE}{run.base.folder.resolve()}", run.base.rows)
        if not rows:
            continue
        experiment = some[0][0].experiment
        settings = experiment.evaluate.model_copy(update={"metric": primary, "metrics": []})
        ranking = rank(rows, experiment.task, settings, experiment.seed)
        lacking = [name for name in rows if name not in ranking.estimates]
        notices += [
            f"{first} and {second} cannot be paired: {words.title(primary)} cannot be had of both; evaluate both with "
            "the same settings"
            for first, second in itertools.combinations([name for _, _, name in some], 2)
            if first in lacking or second in lacking
        ]
        alike.append((ranking, [name for _, _, name in some if name in ranking.estimates]))
        pairs |= {
            pair: change
            for pair, change in ranking.pairs.items()
            if not any(one.startswith(_BASE) for one in pair)
        }
    return _Rankings(pairs, alike, notices)


def _fault(first: tuple[RunView, Evaluated, str], second: tuple[RunView, Evaluated, str]) -> str | None:
    """Why two evaluated runs cannot be paired, or None."""
    if first[0].settings.get("task") != second[0].settings.get("task"):
        return "they have different tasks; compare runs of one task"
    try:
        in_order_of(first[1].rows, second[1].rows)
    except ExperimentError as error:
        return str(error)
    return None


def _is_same(rows: Sequence[Row], others: Sequence[Row]) -> bool:
    """True if both are of the same records."""
    return {(row.record, row.sha256) for row in rows} == {(row.record, row.sha256) for row in others}
