"""Metric `accuracy`: share of answers that are right."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._statistics import mark, share_of

_STATISTIC = share_of("accuracy", mark("correct"))
METRIC = Metric(needs=("correct",), statistic=_STATISTIC)


def accuracy(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """Share of rows whose answer is right; an unread one is wrong."""
    return _STATISTIC.of(outcomes, weights)
