"""Metric `f1`: F1 of each class, and of the positive one."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._confusion import ClassCounts, by_class

METRIC = Metric(needs=("classes",), per_class=True)


def f1(outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> dict[str, float]:
    """F1 by class; a class's unread answers are not found."""
    return by_class("f1", ClassCounts.of(outcomes, weights).f1, outcomes)
