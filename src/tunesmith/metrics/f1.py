"""Metric `f1`: F1 of each class, and of the positive one."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._confusion import f1_counts
from tunesmith.metrics._statistics import Shares

_STATISTIC = Shares(f1_counts, is_f1=True)
METRIC = Metric(needs=("classes",), per_class=True, statistic=_STATISTIC)


def f1(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """F1 by class; a class's unread answers are not found."""
    return _STATISTIC.of(outcomes, weights)
