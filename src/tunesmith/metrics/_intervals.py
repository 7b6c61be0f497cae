"""Bootstrap intervals: how far a number could have come out otherwise, had other records been held out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

Measures = Callable[[Float[np.ndarray, "row"]], dict[str, float]]
"""Numbers by name from a weight per row; the same names for any weights, NaN for nothing to measure."""


def bootstrap(
    measures: Measures, num_rows: int, resamples: int, seed: int
) -> dict[str, Float[np.ndarray, "resample"]]:
    """What `measures` gives on resamples of the rows, drawn with replacement (Efron 1979).

    A resample is a weight per row: how often it was drawn. Equal seeds draw equal resamples, so that two
    evaluations on the same rows are paired.
    """
    chance = np.random.default_rng(seed)
    drawn = [measures(_resample(chance, num_rows)) for _ in range(resamples)]
    return {name: np.array([values[name] for values in drawn]) for name in drawn[0]}


def interval(values: Float[np.ndarray, "resample"]) -> tuple[float, float]:
    """The middle 95 % of the values that are not NaN (Efron 1981, percentile method); NaN without any."""
    measured = values[~np.isnan(values)]
    if not len(measured):
        return float("nan"), float("nan")
    low, high = np.percentile(measured, [2.5, 97.5])
    return float(low), float(high)


def _resample(chance: np.random.Generator, num_rows: int) -> Float[np.ndarray, "row"]:
    return np.bincount(chance.integers(num_rows, size=num_rows), minlength=num_rows).astype(float)
