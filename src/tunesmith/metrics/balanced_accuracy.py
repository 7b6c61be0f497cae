"""Metric `balanced_accuracy`: recall, every class counting alike."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._confusion import true_class_counts
from tunesmith.metrics._statistics import MeanOfShares, Shares

_STATISTIC = MeanOfShares("balanced_accuracy", Shares(true_class_counts))
METRIC = Metric(needs=("classes",), statistic=_STATISTIC)


def balanced_accuracy(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """Mean recall over the classes that occur (Brodersen et al. 2010)."""
    return _STATISTIC.of(outcomes, weights)
