"""Tables of intervals of one value: how often they hold the truth, and how wide they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from benchmarks.coverage.truths import (
    POPULATION_SEED,
    Classes,
    area_of,
    correct_in_groups,
    lumped,
    lumped_in_groups,
    pictures,
    ranked,
    texts,
)
from scipy.stats import binom

from tunesmith.evaluate.defaults import function_of
from tunesmith.evaluate.estimates import Interval, Units, estimates_of
from tunesmith.evaluate.intervals import share_interval, tells_little, wilson
from tunesmith.metrics import Outcomes

Row = dict[str, Any]
LARGE = 400_000
"""Records of a sample whose value stands for the truth."""


def share(number: int, truth: float) -> Row:
    """Exact coverage of a share's interval, and its mean over truths within 0.75 standard errors."""
    right = np.arange(number + 1)
    numerators = (np.arange(number) < right[:, None]).astype(float)
    low, high = share_interval(numerators, np.ones_like(numerators))

    def coverage(at: float) -> float:
        return float(binom.pmf(right, number, at)[(low <= at) & (at <= high)].sum())

    reach = 0.75 * np.sqrt(truth * (1 - truth) / number)
    near = np.linspace(max(truth - reach, 1e-4), min(truth + reach, 1 - 1e-4), 101)
    return {
        "n": number,
        "truth": truth,
        "covered": coverage(truth),
        "covered nearby": float(np.mean([coverage(at) for at in near])),
        "width": float(binom.pmf(right, number, truth) @ (high - low)),
        "old": _percentile_coverage(number, truth),
    }


def _percentile_coverage(number: int, truth: float) -> float:
    """What the middle 95 % of resampled records covered."""
    right = np.arange(number + 1)
    ends = [binom.ppf(at, number, right / number) / number for at in (0.025, 0.975)]
    return float(binom.pmf(right, number, truth)[(ends[0] <= truth) & (truth <= ends[1])].sum())


def share_in_groups(groups: int, size: int, correlation: float, truth: float, sets: int, seed: int) -> Row:
    """Coverage of a share's interval where records come in groups."""
    chance = np.random.default_rng(seed)
    numerators = correct_in_groups(chance, sets, groups, size, truth, correlation)
    denominators = np.full_like(numerators, float(size))
    low, high = share_interval(numerators, denominators)
    reported = ~tells_little(numerators, denominators)
    covered = (low <= truth) & (truth <= high)
    naive = wilson(numerators.sum(1) / (groups * size), groups * size)
    return {
        "groups": groups,
        "size": size,
        "correlation": correlation,
        "truth": truth,
        "covered": float(covered.mean()),
        "too few to tell": float(1 - reported.mean()),
        "covered where reported": float(covered[reported].mean()) if reported.any() else float("nan"),
        "width": float((high - low).mean()),
        "old": float(((naive[0] <= truth) & (truth <= naive[1])).mean()),
    }


def _cover(
    sets: int,
    seed: int,
    truth: Mapping[str, float],
    sample: Callable[[np.random.Generator], tuple[str, Outcomes, Units]],
) -> dict[str, Row]:
    """By the name of the number: how often its interval holds the truth, of the data sets that have the number."""
    chance = np.random.default_rng(seed)
    measured: dict[str, list[tuple[Interval, float]]] = {name: [] for name in truth}
    for _ in range(sets):
        metrics, outcomes, units = sample(chance)
        for metric in metrics.split():
            for estimate in estimates_of(metric, outcomes, units):
                if estimate.name in measured:
                    measured[estimate.name].append((estimate.interval(), estimate.value))
    return {name: _row(truth[name], drawn) for name, drawn in measured.items() if drawn}


def _row(truth: float, drawn: list[tuple[Interval, float]]) -> Row:
    """Rates over the intervals that were given, also with a warning, and how many had one or were not given."""
    ends = np.array([(interval.low, interval.high) for interval, _ in drawn])
    given = ~np.isnan(ends[:, 0])
    low, high = ends[given].T if given.any() else np.full((2, 1), np.nan)
    return {
        "truth": truth,
        "mean": float(np.mean([value for _, value in drawn])),
        "covered": float(((low <= truth) & (truth <= high)).mean()),
        "width": float((high - low).mean()),
        "without width": float((high - low <= 0).mean()),
        "too few to tell": float(np.mean([interval.reason is not None for interval, _ in drawn])),
    }


def mean(
    number: int, lump: float, at: float, sets: int, seed: int, groups: int = 0, correlation: float = 0.0
) -> Row:
    """Mean IoU with a lump of values at one end."""
    truth = lump * at + (1 - lump) * 0.8
    units = Units.of([str(index * groups // number if groups else index) for index in range(number)])

    def sample(chance: np.random.Generator) -> tuple[str, Outcomes, Units]:
        if groups:
            values = lumped_in_groups(chance, groups, number // groups, lump, correlation)
        else:
            values = lumped(chance, number, lump, at)
        return "iou", Outcomes({"iou": values}, np.zeros(number, bool)), units

    covered = _cover(sets, seed, {"iou": truth}, sample)["iou"]
    lumped_at = f"{lump:.0%} at {at:g}"
    return {"n": number, "groups": groups, "correlation": correlation, "lump": lumped_at, **covered}


def median(number: int, lump: float, sets: int, seed: int) -> Row:
    """Median IoU with a lump at 0."""
    large = lumped(np.random.default_rng(0), 2_000_000, lump)

    def sample(chance: np.random.Generator) -> tuple[str, Outcomes, Units]:
        units = Units.of([str(index) for index in range(number)])
        return "iou_median", Outcomes({"iou": lumped(chance, number, lump)}, np.zeros(number, bool)), units

    covered = _cover(sets, seed, {"iou_median": float(np.median(large))}, sample)["iou_median"]
    return {"n": number, "lump": f"{lump:.0%} at 0", **covered}


def classes(
    labels: int, number: int, accuracy: float, skew: float, sets: int, seed: int, groups: int = 0
) -> list[Row]:
    """Macro F1, balanced accuracy, weighted F1, and F1, precision and recall of the most and the least frequent
    class. In groups, records of one group are of one class and repeat each other's answer with a chance of 0.3."""
    population = Classes.of(labels, accuracy, skew)
    names = tuple(f"c{index}" for index in range(labels))
    units = Units.of([str(index * groups // number if groups else index) for index in range(number)])

    def sample(chance: np.random.Generator) -> tuple[str, Outcomes, Units]:
        true, answered = population.sample(chance, number, groups)
        outcomes = Outcomes({}, np.zeros(number, bool), names, None, true, answered)
        return "f1_macro balanced_accuracy f1_weighted f1 precision recall", outcomes, units

    covered = _cover(sets, seed, population.truths, sample)
    settings = {"classes": labels, "n": number, "groups": groups, "sizes": "1/rank" if skew else "balanced"}
    return [{**settings, "accuracy": accuracy, "metric": name, **row} for name, row in covered.items()]


def corpus(metric: str, number: int, sets: int, seed: int, quality: float = 0.7) -> Row:
    """BLEU and average precision, whose truth is the value of a very large sample."""

    def make(chance: np.random.Generator, size: int) -> Outcomes:
        marks = texts(chance, size) if metric == "bleu" else pictures(chance, size, (quality,))
        return Outcomes(marks[0], np.zeros(size, bool))

    large = make(np.random.default_rng(POPULATION_SEED), LARGE)
    truth = function_of(metric)(large, np.ones(LARGE))[metric]
    units = Units.of([str(index) for index in range(number)])

    def sample(chance: np.random.Generator) -> tuple[str, Outcomes, Units]:
        return metric, make(chance, number), units

    boxes = quality if metric == "ap" else math.nan
    covered = _cover(sets, seed, {metric: truth}, sample)[metric]
    return {"metric": metric, "boxes detected": boxes, "n": number, **covered}


def area(number: int, positive: float, apart: float, sets: int, seed: int) -> Row:
    """ROC AUC of two classes."""
    units = Units.of([str(index) for index in range(number)])

    def sample(chance: np.random.Generator) -> tuple[str, Outcomes, Units]:
        true, (scores,) = ranked(chance, number, positive, (apart,))
        return "roc_auc", Outcomes({}, np.zeros(number, bool), ("a", "b"), None, true, true, scores), units

    covered = _cover(sets, seed, {"roc_auc": area_of(apart)}, sample)["roc_auc"]
    return {"n": number, "positive": positive, **covered}
