"""F1 of answers that name any number of classes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Outcomes


def sums(suffix: str, outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> tuple[float, float, float]:
    """Weighted numbers of right, wrong and missed classes; of one class with the suffix `/label`."""
    names = (f"{name}{suffix}" for name in ("hits", "false_alarms", "misses"))
    hits, false_alarms, misses = (
        float(weights @ np.nan_to_num(outcomes.marks[name])) if name in outcomes.marks else 0.0
        for name in names
    )
    return hits, false_alarms, misses


def f1_of(hits: float, false_alarms: float, misses: float) -> float:
    """Harmonic mean of precision and recall (van Rijsbergen 1979, chapter 7); NaN if there is nothing to find and
    nothing was found."""
    whole = 2 * hits + false_alarms + misses
    return 2 * hits / whole if whole else float("nan")
