"""Metric `box_f1`: F1 of boxes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._boxes import box_f1_counts
from tunesmith.metrics._statistics import Shares

_STATISTIC = Shares(box_f1_counts, is_f1=True)
METRIC = Metric(needs=("objects", "predicted", "matched_50", "text"), statistic=_STATISTIC)


def box_f1(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """Harmonic mean of precision and recall at an IoU of 0.5 (van Rijsbergen 1979, chapter 7)."""
    return _STATISTIC.of(outcomes, weights)
