"""Whether a model is overconfident: its mean confidence compared with its accuracy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import erfc

from tunesmith.evaluate.estimates import Units, UnitShare
from tunesmith.metrics import Outcomes


@dataclass(frozen=True)
class Calibration:
    """How sure and how right a model is, over all records."""

    confidence: float
    """Mean probability of the likeliest class."""
    accuracy: float
    """Share of records whose likeliest class is the true one."""
    too_sure: float
    """Confidence less accuracy: above 0 the model is too sure, below 0 too unsure."""
    low: float
    """Lower end of the 95 % interval of `too_sure`."""
    high: float
    p_value: float
    """Of being calibrated, record by record: Spiegelhalter's test."""


def calibration_of(outcomes: Outcomes, units: Units) -> Calibration | None:
    """The calibration of class probabilities; None without them.

    The interval is the mean confidence less Wilson's limits of the accuracy, in groups with its design effect. The
    test is Spiegelhalter's (1986), in groups with the variance between units if that is larger.
    """
    if outcomes.scores is None or outcomes.truth is None:
        return None
    confidence = outcomes.scores.max(1)
    right = (outcomes.scores.argmax(1) == outcomes.truth).astype(float)
    share = UnitShare(units.sums(right), units.sums(np.ones(len(right))), is_f1=False)
    low, high = share.interval()
    mean, accuracy = float(confidence.mean()), float(right.mean())
    return Calibration(
        confidence=mean,
        accuracy=accuracy,
        too_sure=mean - accuracy,
        low=mean - high,
        high=mean - low,
        p_value=_spiegelhalter(right, confidence, units),
    )


def _spiegelhalter(right: np.ndarray, confidence: np.ndarray, units: Units) -> float:
    """Two-sided p-value of Spiegelhalter's z: the Brier score less what it is expected to be if the confidences are
    true, in standard errors. In groups the standard error is that between units, if that is larger."""
    each = (right - confidence) * (1 - 2 * confidence)
    variance = float(((1 - 2 * confidence) ** 2 * confidence * (1 - confidence)).sum())
    if not units.are_records:
        sums = units.sums(each)
        variance = max(
            variance, float(((sums - sums.mean()) ** 2).sum()) * units.number / max(units.number - 1, 1)
        )
    if variance <= 0:
        return 1.0 if abs(float(each.sum())) < 1e-12 else 0.0
    return float(erfc(abs(float(each.sum())) / math.sqrt(2 * variance)))
