"""Metric `balanced_accuracy`: recall, every class counting alike."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._confusion import ClassCounts

METRIC = Metric(needs=("classes",))


def balanced_accuracy(outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> dict[str, float]:
    """Mean recall over the classes that occur (Brodersen et al. 2010)."""
    counts = ClassCounts.of(outcomes, weights)
    occurs = counts.true > 0
    return {"balanced_accuracy": float(counts.recall[occurs].mean()) if occurs.any() else float("nan")}
