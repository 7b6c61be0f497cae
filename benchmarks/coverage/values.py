"""Tables of intervals of one value: how often they hold the truth, and how wide they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from benchmarks.coverage.truths import (
    Classes,
    correct_in_groups,
    lumped,
    lumped_in_groups,
    pictures,
    texts,
)
from scipy.stats import binom

from tunesmith.evaluate.estimates import Interval, Units, estimates_of
from tunesmith.evaluate.intervals import share_interval, tells_little, wilson
from tunesmith.metrics import Outcomes

Row = dict[str, Any]


def share(number: int, truth: float) -> Row:
    """Exact coverage of a share's interval, and its mean over truths within 0.75 standard errors."""
    right = np.arange(number + 1)
    parts = (np.arange(number) < right[:, None]).astype(float)
    low, high = share_interval(parts, np.ones_like(parts))

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
    parts = correct_in_groups(chance, sets, groups, size, truth, correlation)
    wholes = np.full_like(parts, float(size))
    low, high = share_interval(parts, wholes)
    reported = ~tells_little(parts, wholes)
    covered = (low <= truth) & (truth <= high)
    naive = wilson(parts.sum(1) / (groups * size), groups * size)
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
    """By the name of the number: how often its interval holds the truth."""
    chance = np.random.default_rng(seed)
    found: dict[str, list[tuple[Interval, float]]] = {name: [] for name in truth}
    for _ in range(sets):
        metrics, outcomes, units = sample(chance)
        for metric in metrics.split():
            for one in estimates_of(metric, outcomes, units):
                if one.name in found:
                    found[one.name].append((one.interval(), one.value))
    return {name: _row(truth[name], drawn) for name, drawn in found.items() if drawn}


def _row(truth: float, drawn: list[tuple[Interval, float]]) -> Row:
    ends = np.array([(one.low, one.high) for one, _ in drawn])
    measured = ~np.isnan(ends[:, 0])
    low, high = ends[measured].T
    return {
        "truth": truth,
        "mean": float(np.mean([value for _, value in drawn])),
        "covered": float(((low <= truth) & (truth <= high)).mean()),
        "below": float((high < truth).mean()),
        "above": float((low > truth).mean()),
        "width": float((high - low).mean()),
        "without width": float((high - low <= 0).mean()),
        "sets": int(measured.sum()),
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

    found = _cover(sets, seed, {"iou": truth}, sample)["iou"]
    return {
        "n": number,
        "groups": groups,
        "correlation": correlation,
        "lump": f"{lump:.0%} at {at:g}",
        **found,
    }


def median(number: int, lump: float, sets: int, seed: int) -> Row:
    """Median IoU with a lump at 0."""
    large = lumped(np.random.default_rng(0), 2_000_000, lump)

    def sample(chance: np.random.Generator) -> tuple[str, Outcomes, Units]:
        units = Units.of([str(index) for index in range(number)])
        return "iou_median", Outcomes({"iou": lumped(chance, number, lump)}, np.zeros(number, bool)), units

    found = _cover(sets, seed, {"iou_median": float(np.median(large))}, sample)["iou_median"]
    return {"n": number, "lump": f"{lump:.0%} at 0", **found}


def classes(
    labels: int, number: int, accuracy: float, skew: float, sets: int, seed: int, groups: int = 0
) -> list[Row]:
    """Macro F1, balanced accuracy, weighted F1, and F1 of the most and the least frequent class."""
    population = Classes.of(labels, accuracy, skew, seed)
    names = tuple(f"c{index}" for index in range(labels))
    # The expectation of the metric's own population value, every class being there.
    truth = {
        "f1_macro": float(population.f1.mean()),
        "balanced_accuracy": float(population.recall.mean()),
        "f1_weighted": float(population.shares @ population.f1),
        "f1/c0": float(population.f1[0]),
        f"f1/c{labels - 1}": float(population.f1[-1]),
    }
    units = Units.of([str(index * groups // number if groups else index) for index in range(number)])

    def sample(chance: np.random.Generator) -> tuple[str, Outcomes, Units]:
        true, answered = population.sample(chance, number)
        outcomes = Outcomes({}, np.zeros(number, bool), names, None, true, answered)
        return "f1_macro balanced_accuracy f1_weighted f1", outcomes, units

    found = _cover(sets, seed, truth, sample)
    skewed = "1/rank" if skew else "balanced"
    return [
        {
            "classes": labels,
            "n": number,
            "groups": groups,
            "sizes": skewed,
            "accuracy": accuracy,
            "metric": name,
            **row,
        }
        for name, row in found.items()
    ]


def corpus(metric: str, number: int, sets: int, seed: int, quality: float = 0.7) -> Row:
    """BLEU and average precision, whose truth is the value of a very large sample."""
    make = (
        (lambda chance, size: texts(chance, size))
        if metric == "bleu"
        else (lambda chance, size: pictures(chance, size, quality))
    )
    large = Outcomes(make(np.random.default_rng(0), 400_000), np.zeros(400_000, bool))
    from tunesmith.evaluate.defaults import function_of

    truth = function_of(metric)(large, np.ones(400_000))[metric]

    def sample(chance: np.random.Generator) -> tuple[str, Outcomes, Units]:
        units = Units.of([str(index) for index in range(number)])
        return metric, Outcomes(make(chance, number), np.zeros(number, bool)), units

    return {"metric": metric, "n": number, **_cover(sets, seed, {metric: truth}, sample)[metric]}


def area(number: int, positive: float, apart: float, sets: int, seed: int) -> Row:
    """ROC AUC of two classes."""
    from scipy.stats import norm

    truth = float(norm.cdf(apart / np.sqrt(2)))

    def sample(chance: np.random.Generator) -> tuple[str, Outcomes, Units]:
        units = Units.of([str(index) for index in range(number)])
        true = (chance.random(number) < positive).astype(int)
        true[:2] = [0, 1]
        score = norm.cdf(chance.standard_normal(number) + apart * (true - 0.5))
        scores = np.stack([1 - score, score], axis=1)
        return "roc_auc", Outcomes({}, np.zeros(number, bool), ("a", "b"), None, true, true, scores), units

    return {"n": number, "positive": positive, **_cover(sets, seed, {"roc_auc": truth}, sample)["roc_auc"]}
