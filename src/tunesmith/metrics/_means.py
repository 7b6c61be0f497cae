"""Weighted means over the rows that have a value."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Outcomes


def mean(values: Float[np.ndarray, " value"], weights: Float[np.ndarray, " value"]) -> float:
    """Weighted mean of the values that are not NaN; NaN if none of them weighs anything."""
    return ratio(values, np.ones_like(values), weights)


def ratio(
    numerators: Float[np.ndarray, " value"],
    denominators: Float[np.ndarray, " value"],
    weights: Float[np.ndarray, " value"],
) -> float:
    """Weighted sum of numerators by weighted sum of denominators, over rows that have both; NaN if there are none."""
    weights = np.where(np.isnan(numerators) | np.isnan(denominators), 0.0, weights)
    denominator = weights @ np.nan_to_num(denominators)
    return float(weights @ np.nan_to_num(numerators) / denominator) if denominator > 0 else float("nan")


def median(values: Float[np.ndarray, " value"], weights: Float[np.ndarray, " value"]) -> float:
    """Weighted median of the values that are not NaN; where the halves meet between two of them, their mean."""
    measured = ~np.isnan(values) & (weights > 0)
    if not measured.any():
        return float("nan")
    values, weights = values[measured], weights[measured]
    order = np.argsort(values)
    below = np.cumsum(weights[order])
    half = below[-1] / 2
    middle = [np.searchsorted(below, half, side) for side in ("left", "right")]
    return float(values[order][middle].mean())


def is_over(limit: float, name: str) -> Callable[[Outcomes], Float[np.ndarray, " row"]]:
    """A function that gives 1 for each row with a mark of more than the limit, 0 for the others, NaN without a mark."""

    def values(outcomes: Outcomes) -> Float[np.ndarray, " row"]:
        marks = outcomes.marks[name]
        return np.where(np.isnan(marks), np.nan, marks > limit)

    return values
