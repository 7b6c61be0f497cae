"""Metric `log_loss`: how surprised the class probabilities are by the truth."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._means import mean

METRIC = Metric(better="lower", unit="nats", needs=("classes", "scores"))


def log_loss(outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> dict[str, float]:
    """Mean negative log probability of the true class (Bishop 2006, equation 4.108).

    A probability of 0 counts as the smallest step from 1, so that one row cannot make it infinite.
    """
    if outcomes.scores is None or outcomes.truth is None:
        return {"log_loss": float("nan")}
    true = outcomes.scores[np.arange(len(weights)), outcomes.truth]
    return {"log_loss": mean(-np.log(np.maximum(true, np.finfo(float).eps)), weights)}
