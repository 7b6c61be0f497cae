"""Metric `calibration_error`: how far the model's confidence is from its accuracy."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._statistics import NoInterval

METRIC = Metric(better="lower", needs=("classes", "scores"), statistic=NoInterval())


def calibration_error(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """Expected calibration error over bins of equally many records, as many as leave accuracy rising from bin to bin
    (Roelofs et al. 2022, the monotonic sweep), which is less biased than a fixed number of bins.

    `weights` are whole numbers: how often each row counts.
    """
    if outcomes.scores is None or not weights.sum() > 0:
        return {"calibration_error": float("nan")}
    confidence = outcomes.scores.max(1)
    right = (outcomes.scores.argmax(1) == outcomes.truth).astype(float)
    order = np.argsort(confidence, kind="stable")
    order = np.repeat(order, np.round(weights[order]).astype(int))
    return {"calibration_error": _gaps(right[order], confidence[order])}


def _gaps(right: Float[np.ndarray, " row"], confidence: Float[np.ndarray, " row"]) -> float:
    """Mean distance of accuracy and confidence by bin, of rows in the order of their confidence."""
    rows = len(right)
    sums_right, sums_confidence = (np.concatenate([[0.0], np.cumsum(one)]) for one in (right, confidence))
    chosen = np.array([0, rows])
    for number in range(2, rows + 1):
        edges = np.round(np.linspace(0, rows, number + 1)).astype(int)
        sizes = np.diff(edges)
        accuracy = np.diff(sums_right[edges]) / sizes
        if (np.diff(accuracy) < 0).any():
            break
        chosen = edges
    distance = np.abs(np.diff(sums_right[chosen]) - np.diff(sums_confidence[chosen]))
    return float(distance.sum() / rows)
