"""Metric `box_recall`: share of the true boxes that are found."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._boxes import found_at_half, share

METRIC = Metric(needs=("objects", "predicted", "matched_50", "text"))


def box_recall(outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> dict[str, float]:
    """Recall at an IoU of 0.5; 0 if boxes are predicted where none is there, NaN if there is neither."""
    objects, predicted, matched = found_at_half(outcomes, weights)
    is_measured = objects + predicted > 0
    return {"box_recall": share(matched, objects, is_measured)}
