"""Metric `log_loss`: how surprised the class probabilities are by the truth."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._statistics import mean_of


def _nats(outcomes: Outcomes) -> Float[np.ndarray, " row"] | None:
    """Negative log probability of each row's true class."""
    if outcomes.scores is None or outcomes.truth is None:
        return None
    true = outcomes.scores[np.arange(len(outcomes.truth)), outcomes.truth]
    return -np.log(np.maximum(true, np.finfo(float).eps))


_STATISTIC = mean_of("log_loss", _nats)
METRIC = Metric(better="lower", unit="nats", needs=("classes", "scores"), statistic=_STATISTIC)


def log_loss(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """Mean negative log probability of the true class (Bishop 2006, equation 4.108).

    A probability of 0 counts as the smallest step from 1, so that one row cannot make it infinite.
    """
    return _STATISTIC.of(outcomes, weights)
