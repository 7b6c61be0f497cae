"""Metric `box_f1`: F1 of boxes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._boxes import found_at_half, share

METRIC = Metric(needs=("objects", "predicted", "matched_50", "text"))


def box_f1(outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> dict[str, float]:
    """Harmonic mean of precision and recall at an IoU of 0.5 (van Rijsbergen 1979, chapter 7)."""
    objects, predicted, matched = found_at_half(outcomes, weights)
    is_measured = objects + predicted > 0
    return {"box_f1": share(2 * matched, objects + predicted, is_measured)}
