"""Metric `ap50`: average precision of boxes at an IoU of 0.5."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._boxes import NEEDED, average_precision

METRIC = Metric(needs=NEEDED)


def ap50(outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> dict[str, float]:
    """COCO's AP at an IoU of 0.5, all boxes being equally sure (`_boxes.average_precision`)."""
    return {"ap50": average_precision(outcomes, weights, [50])}
