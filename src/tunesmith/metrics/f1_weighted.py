"""Metric `f1_weighted`: F1, every class counting by its frequency."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._confusion import ClassCounts
from tunesmith.metrics._means import mean

METRIC = Metric(needs=("classes",))


def f1_weighted(outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> dict[str, float]:
    """Mean F1 over classes, weighted by how often each is the true one."""
    counts = ClassCounts.of(outcomes, weights)
    return {"f1_weighted": mean(counts.f1, counts.true)}
