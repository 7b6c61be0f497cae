"""Metric `calibration_error`: how far the model's confidence is from its accuracy."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._statistics import NoInterval

METRIC = Metric(better="lower", needs=("classes", "scores"), statistic=NoInterval())
NUM_BINS = 15


def calibration_error(outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> dict[str, float]:
    """Expected calibration error over 15 bins of equal width (Guo et al. 2017, equation 3)."""
    if outcomes.scores is None or not weights.sum() > 0:
        return {"calibration_error": float("nan")}
    bins, gaps = _bins_and_gaps(outcomes)
    return {"calibration_error": float(np.abs(np.bincount(bins, weights * gaps)).sum() / weights.sum())}


@lru_cache(maxsize=2)
def _bins_and_gaps(outcomes: Outcomes) -> tuple[Int[np.ndarray, "row"], Float[np.ndarray, "row"]]:
    """Each row's bin (closed above), and right less confidence; found once for all resamples."""
    assert outcomes.scores is not None
    confidence = outcomes.scores.max(1)
    right = outcomes.scores.argmax(1) == outcomes.truth
    return np.maximum(np.ceil(confidence * NUM_BINS).astype(int) - 1, 0), right - confidence
