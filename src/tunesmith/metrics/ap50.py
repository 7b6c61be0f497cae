"""Metric `ap50`: average precision of boxes at an IoU of 0.5."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._boxes import NEEDED, average_precision

_STATISTIC = average_precision("ap50", [50])
METRIC = Metric(needs=NEEDED, statistic=_STATISTIC)


def ap50(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """COCO's AP at an IoU of 0.5, all boxes being equally sure (`_boxes.average_precision`)."""
    return _STATISTIC.of(outcomes, weights)
