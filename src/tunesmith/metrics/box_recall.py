"""Metric `box_recall`: share of the true boxes that are found."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._boxes import box_recall_counts
from tunesmith.metrics._statistics import Shares

_STATISTIC = Shares(box_recall_counts)
METRIC = Metric(needs=("objects", "predicted", "matched_50", "text"), statistic=_STATISTIC)


def box_recall(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """Recall at an IoU of 0.5; 0 if boxes are predicted where none is there, NaN if there is neither."""
    return _STATISTIC.of(outcomes, weights)
