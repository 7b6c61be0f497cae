"""Metric `box_precision`: share of the predicted boxes that are right."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._boxes import found_at_half, share

METRIC = Metric(needs=("objects", "predicted", "matched_50", "text"))


def box_precision(outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> dict[str, float]:
    """Precision at an IoU of 0.5; 0 if no box is predicted, NaN if none is there either."""
    objects, predicted, matched = found_at_half(outcomes, weights)
    is_measured = objects + predicted > 0
    return {"box_precision": share(matched, predicted, is_measured)}
