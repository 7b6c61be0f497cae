"""Metric `box_precision`: share of the predicted boxes that are right."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._boxes import box_precision_counts
from tunesmith.metrics._statistics import Shares

_STATISTIC = Shares(box_precision_counts)
METRIC = Metric(needs=("objects", "predicted", "matched_50", "text"), statistic=_STATISTIC)


def box_precision(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """Precision at an IoU of 0.5; 0 if no box is predicted, NaN if none is there either."""
    return _STATISTIC.of(outcomes, weights)
