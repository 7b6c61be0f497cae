"""Tables of changes: how often the interval of a paired change holds the true change, and how often the change is
called better or worse, where nothing changed and where something did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from benchmarks.coverage.claims import fallen, outcomes_of_classes
from benchmarks.coverage.truths import (
    POPULATION_SEED,
    Classes,
    Mixture,
    area_of,
    paired_places,
    pictures,
    ranked,
    texts,
)
from benchmarks.coverage.values import LARGE

from tunesmith.evaluate.changes import Change, drafts_of, settled
from tunesmith.evaluate.defaults import function_of
from tunesmith.evaluate.estimates import Units
from tunesmith.evaluate.significance import Signs
from tunesmith.metrics import Outcomes

Row = dict[str, Any]
Both = tuple[Outcomes, Outcomes]
_DRAWS = 2000
_SEED_OF_THE_TEST = 17


@dataclass(frozen=True)
class Truth:
    """What is simulated: two models, by metrics whose true changes are known."""

    metrics: tuple[str, ...]
    changes: Mapping[str, float]
    """The true change by number of a metric."""
    sample: Callable[[np.random.Generator], Both]


def _rows(truth: Truth, units: Units, sets: int, seed: int) -> dict[str, Row]:
    """By number: coverage, also where there are too few to tell, and verdicts; each number is tested alone, as the
    primary metric of a report is."""
    chance = np.random.default_rng(seed)
    changes: dict[str, list[Change]] = {name: [] for name in truth.changes}
    for _ in range(sets):
        both = truth.sample(chance)
        signs = Signs.of(_changed(*both, units), units.number, _DRAWS, _SEED_OF_THE_TEST)
        drafts = drafts_of(truth.metrics, both, units, signs, _SEED_OF_THE_TEST)
        for draft, change in settled(dict.fromkeys(drafts), signs.is_exact).items():
            if draft.name in changes:
                changes[draft.name].append(change)
    return {name: _row(truth.changes[name], drawn) for name, drawn in changes.items() if drawn}


def _changed(first: Outcomes, second: Outcomes, units: Units) -> np.ndarray:
    """Units of which anything that is measured differs."""
    differs = np.zeros(len(first.unread), bool)
    for name, values in first.marks.items():
        differs |= values != second.marks[name]
    for before, after in ((first.predicted, second.predicted), (first.scores, second.scores)):
        if before is not None and after is not None:
            differs |= (before != after).reshape(len(differs), -1).any(1)
    return np.unique(units.index[differs])


def _row(truth: float, changes: list[Change]) -> Row:
    low, high = np.array([(change.low, change.high) for change in changes]).T
    verdicts = [change.verdict for change in changes]
    given = ~np.isnan(low)
    low, high = (low[given], high[given]) if given.any() else np.full((2, 1), np.nan)
    return {
        "change": round(truth, 6),
        "covered": float(((low <= truth + 1e-12) & (truth - 1e-12 <= high)).mean()),
        "width": float((high - low).mean()),
        "better or worse": float(np.mean([verdict in ("better", "worse") for verdict in verdicts])),
        "too few to tell": float(np.mean([verdict == "too few to tell" for verdict in verdicts])),
    }


def means(
    metric: str,
    first: tuple[float, ...],
    second: tuple[float, ...],
    groups: int,
    size: int,
    correlation: float,
    sets: int,
    seed: int,
) -> Row:
    """Change of the mean of values of records, such as IoU and token F1, which are a `Mixture` each."""
    before, after = Mixture(*first), Mixture(*second)

    def sample(chance: np.random.Generator) -> Both:
        places = paired_places(chance, groups, size, correlation, 0.6)
        none = np.zeros(groups * size, bool)
        return Outcomes({metric: before.at(places[0])}, none), Outcomes({metric: after.at(places[1])}, none)

    truth = Truth((metric,), {metric: after.mean - before.mean}, sample)
    shapes = [f"{at_zero:.0%} at 0, {at_one:.0%} at 1" for at_zero, at_one, *_ in (first, second)]
    return {
        "metric": metric,
        "n": groups * size,
        "groups": groups if size > 1 else 0,
        "correlation": correlation,
        "values": " to ".join(dict.fromkeys(shapes)),
        **_rows(truth, _units(groups * size, groups), sets, seed)[metric],
    }


def corpus(metric: str, number: int, gain: float, sets: int, seed: int) -> Row:
    """Change of BLEU and of average precision, which are no means of records."""

    def sample(chance: np.random.Generator, size: int = number) -> Both:
        if metric == "bleu":
            first, second = texts(chance, size, models=2, gain=gain)
        else:
            first, second = pictures(chance, size, (0.7, 0.7 + gain))
        return Outcomes(first, np.zeros(size, bool)), Outcomes(second, np.zeros(size, bool))

    change = 0.0
    if gain:
        large = sample(np.random.default_rng(POPULATION_SEED), LARGE)
        start, end = (function_of(metric)(outcomes, np.ones(LARGE))[metric] for outcomes in large)
        change = end - start
    truth = Truth((metric,), {metric: change}, sample)
    return {"metric": metric, "n": number, **_rows(truth, _units(number), sets, seed)[metric]}


def area(number: int, positive: float, apart: tuple[float, float], sets: int, seed: int) -> Row:
    """Change of ROC AUC of two classes."""

    def sample(chance: np.random.Generator) -> Both:
        true, scores = ranked(chance, number, positive, apart)
        first, second = (
            Outcomes({}, np.zeros(number, bool), ("a", "b"), None, true, true, one) for one in scores
        )
        return first, second

    truth = Truth(("roc_auc",), {"roc_auc": area_of(apart[1]) - area_of(apart[0])}, sample)
    covered = _rows(truth, _units(number), sets, seed)["roc_auc"]
    return {"n": number, "positive": positive, "first": area_of(apart[0]), **covered}


def classes(
    labels: int,
    number: int,
    accuracy: float,
    skew: float,
    sets: int,
    seed: int,
    groups: int = 0,
    fall: float = 0.0,
) -> list[Row]:
    """Changes of macro F1, balanced accuracy, weighted F1, and of F1, precision and recall of the most and the least
    frequent class."""
    population = Classes.of(labels, accuracy, skew)
    other = fallen(population, fall)
    names = tuple(f"c{index}" for index in range(labels))

    def sample(chance: np.random.Generator) -> Both:
        true, first, second = population.sample_pair(chance, number, other, 0.6, groups)
        return outcomes_of_classes(names, true, first), outcomes_of_classes(names, true, second)

    before, after = population.truths, other.truths
    metrics = ("f1_macro", "balanced_accuracy", "f1_weighted", "f1", "precision", "recall")
    truth = Truth(metrics, {name: after[name] - before[name] for name in before}, sample)
    covered = _rows(truth, _units(number, groups), sets, seed)
    settings = {"classes": labels, "n": number, "groups": groups, "sizes": "1/rank" if skew else "balanced"}
    return [{**settings, "metric": name, **row} for name, row in covered.items()]


def _units(number: int, groups: int = 0) -> Units:
    return Units.of([str(index * groups // number if groups else index) for index in range(number)])
