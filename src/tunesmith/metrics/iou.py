"""Metric `iou`: how well predicted boxes lie on the true ones."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._means import mean_mark

METRIC = Metric(unit="number", needs=("iou", "text"))


def iou(outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> dict[str, float]:
    """Mean IoU (Everingham et al. 2010, section 4.2) of the answers; 0 for an unread one."""
    return {"iou": mean_mark("iou", outcomes, weights)}
