"""Metric `iou`: how well predicted boxes lie on the true ones."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._statistics import mark, mean_of

_STATISTIC = mean_of("iou", mark("iou"))
METRIC = Metric(unit="number", needs=("iou", "text"), statistic=_STATISTIC, most=1.0)


def iou(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """Mean IoU (Everingham et al. 2010, section 4.2) of the answers; 0 for an unread one."""
    return _STATISTIC.of(outcomes, weights)
