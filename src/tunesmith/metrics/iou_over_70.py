"""Metric `iou_over_70`: share of answers whose boxes lie well on the true ones."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._means import is_over
from tunesmith.metrics._statistics import share_of

_STATISTIC = share_of("iou_over_70", is_over(0.7, "iou"))
METRIC = Metric(needs=("iou", "text"), statistic=_STATISTIC)


def iou_over_70(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """Share of answers with an IoU over 0.7; an unread one has none."""
    return _STATISTIC.of(outcomes, weights)
