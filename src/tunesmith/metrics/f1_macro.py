"""Metric `f1_macro`: F1, every class counting alike."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._confusion import ClassCounts

METRIC = Metric(needs=("classes",))


def f1_macro(outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> dict[str, float]:
    """Mean F1 over the classes that occur as truth or as prediction (Sebastiani 2002, section 7.1)."""
    counts = ClassCounts.of(outcomes, weights)
    return {"f1_macro": float(counts.f1[counts.seen].mean()) if counts.seen.any() else float("nan")}
