"""Metric `ap`: average precision of boxes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._boxes import NEEDED, average_precision

_STATISTIC = average_precision("ap")
METRIC = Metric(needs=NEEDED, statistic=_STATISTIC)


def ap(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """Mean of COCO's AP at IoUs of 0.5, 0.55, ..., 0.95, all boxes being equally sure
    (`_boxes.average_precision`)."""
    return _STATISTIC.of(outcomes, weights)
