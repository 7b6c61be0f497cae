"""Metric `accuracy`: share of answers that are right."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._means import mean_mark

METRIC = Metric(needs=("correct",))


def accuracy(outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> dict[str, float]:
    """Share of rows whose answer is right; an unread one is wrong."""
    return {"accuracy": mean_mark("correct", outcomes, weights)}
