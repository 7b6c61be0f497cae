"""Metric `recall`: share of a class that is found."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._confusion import ClassCounts, by_class

METRIC = Metric(needs=("classes",), per_class=True)


def recall(outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> dict[str, float]:
    """Recall by class; an unread answer is not found."""
    return by_class("recall", ClassCounts.of(outcomes, weights).recall, outcomes)
