"""Which models of a comparison can be paired, how they differ, and which run is the best."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tunesmith.errors import ExperimentError
from tunesmith.evaluate.changes import Change, Verdict
from tunesmith.evaluate.compare import in_order_of
from tunesmith.evaluate.ranking import Ranking, Shrunk, rank
from tunesmith.evaluate.rows import Row
from tunesmith.report import words
from tunesmith.report.models import Model


@dataclass(frozen=True)
class Best:
    """The run with the best value of the primary metric, tested against all others."""

    name: str
    equals: tuple[str, ...]
    """Runs that it is not clearly better than; it is clearly the best if there are none."""
    expected: Shrunk | None
    """The value to be expected on new records; None for fewer than three runs."""
    against: Mapping[str, Verdict]
    """Verdict on the best run against each base and each of the predictions from elsewhere."""


@dataclass(frozen=True)
class Rankings:
    """Every two models that can be paired, and why the others cannot be."""

    pairs: Mapping[tuple[str, str], Change]
    """Of runs and predictions from elsewhere."""
    alike: Sequence[Ranking]
    """Models on the same records with the same task."""
    notices: Sequence[str]


def ranked(models: Sequence[Model], primary: str) -> Rankings:
    """Evaluated runs, their bases and predictions from elsewhere, in sets that can be compared, each tested
    together."""
    evaluated = [model for model in models if model.kind == "run" and model.evaluated is not None]
    notices = []
    sets: list[list[Model]] = []
    for model in evaluated:
        home = next((some for some in sets if _fault(some[0], model) is None), None)
        if home is None:
            sets.append([model])
        else:
            home.append(model)
    for first, second in itertools.combinations(evaluated, 2):
        if (fault := _fault(first, second)) is not None:
            notices.append(f"{first.name} and {second.name} cannot be paired: {fault}")
    bases = {model.name for model in models if model.kind == "base"}
    alike: list[Ranking] = []
    pairs: dict[tuple[str, str], Change] = {}
    for some in sets:
        rows = _rows_of_set(some, models)
        if not rows:
            continue
        experiment = some[0].runs[0].experiment
        settings = experiment.evaluate.model_copy(update={"metric": primary, "metrics": []})
        ranking = rank(rows, experiment.task, settings, experiment.seed)
        notices += _lacking(ranking, [name for name in rows if name not in bases], primary)
        alike.append(ranking)
        pairs |= {pair: change for pair, change in ranking.pairs.items() if not bases & set(pair)}
    return Rankings(pairs, alike, notices)


def _rows_of_set(some: Sequence[Model], models: Sequence[Model]) -> dict[str, Sequence[Row]]:
    """The rows of runs by name, and those of the bases and predictions from elsewhere on the same records; predictions
    go first, so that a change is one from them to a run."""
    runs = {model.name: model.evaluated.rows for model in some if model.evaluated and model.evaluated.rows}
    if not runs:
        return {}
    records, folders = next(iter(runs.values())), {run.path for model in some for run in model.runs}
    references = {
        model.name: model.evaluated.rows
        for model in models
        if model.kind != "run" and model.evaluated is not None
        if any(run.path in folders for run in model.runs) and _is_same(records, model.evaluated.rows)
    }
    return references | runs


def _lacking(ranking: Ranking, names: Sequence[str], primary: str) -> Iterator[str]:
    """Which pairs cannot be compared because the metric cannot be computed of both."""
    for first, second in itertools.combinations(names, 2):
        if first not in ranking.estimates or second not in ranking.estimates:
            yield (
                f"{first} and {second} cannot be paired: {words.title(primary)} cannot be computed of both; evaluate "
                "both with the same settings"
            )


def best_run(rankings: Rankings, models: Sequence[Model]) -> Best | None:
    """The best run, if all evaluated runs can be compared with each other."""
    runs = [model.name for model in models if model.kind == "run" and model.evaluated is not None]
    ranking = next((one for one in rankings.alike if all(name in one.estimates for name in runs)), None)
    if ranking is None:
        return None
    best = ranking.best_of(runs)
    references = [model.name for model in models if model.kind != "run" and model.name in ranking.estimates]
    against = {name: ranking.verdict_on(best, name) for name in references}
    return Best(best, tuple(ranking.equals_of(best, runs)), ranking.shrunk_best(runs), against)


def _fault(first: Model, second: Model) -> str | None:
    """Why two evaluated runs cannot be paired, or None."""
    if first.runs[0].settings.get("task") != second.runs[0].settings.get("task"):
        return "they have different tasks; compare runs of one task"
    assert first.evaluated is not None
    assert second.evaluated is not None
    try:
        in_order_of(first.evaluated.rows, second.evaluated.rows)
    except ExperimentError as error:
        return str(error)
    return None


def _is_same(rows: Sequence[Row], others: Sequence[Row]) -> bool:
    """True if both are of the same records."""
    return {(row.record, row.sha256) for row in rows} == {(row.record, row.sha256) for row in others}
