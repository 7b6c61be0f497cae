"""Metric `iou_median`: how well the boxes of the middle answer lie on the true ones."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._means import median
from tunesmith.metrics._statistics import Median

METRIC = Metric(
    unit="number",
    needs=("iou", "text"),
    statistic=Median("iou_median", lambda outcomes: outcomes.marks["iou"]),
    most=1.0,
)


def iou_median(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """Median IoU of the answers, an unread one having 0; of two in the middle, their mean."""
    return {"iou_median": median(outcomes.marks["iou"], weights)}
