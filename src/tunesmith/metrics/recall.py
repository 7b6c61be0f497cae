"""Metric `recall`: share of a class that is found."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._confusion import recall_counts
from tunesmith.metrics._statistics import Shares

_STATISTIC = Shares(recall_counts)
METRIC = Metric(needs=("classes",), per_class=True, statistic=_STATISTIC)


def recall(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """Recall by class; an unread answer is not found."""
    return _STATISTIC.of(outcomes, weights)
