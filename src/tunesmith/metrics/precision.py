"""Metric `precision`: share of the predictions of a class that are right."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._confusion import precision_counts
from tunesmith.metrics._statistics import Shares

_STATISTIC = Shares(precision_counts)
METRIC = Metric(needs=("classes",), per_class=True, statistic=_STATISTIC)


def precision(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """Precision by class; an unread answer is no prediction."""
    return _STATISTIC.of(outcomes, weights)
