"""Metric `f1_weighted`: F1, every class counting by its frequency."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._confusion import class_f1_counts
from tunesmith.metrics._statistics import MeanOfShares, Shares

_STATISTIC = MeanOfShares("f1_weighted", Shares(class_f1_counts, is_f1=True), by_size=True)
METRIC = Metric(needs=("classes",), statistic=_STATISTIC)


def f1_weighted(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """Mean F1 over classes, weighted by how often each is the true one."""
    return _STATISTIC.of(outcomes, weights)
