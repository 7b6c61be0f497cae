from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from tests.metrics.made import classified
from tunesmith.evaluate.calibration import calibration_of
from tunesmith.evaluate.estimates import Units
from tunesmith.metrics import Outcomes


def sure(confidence: np.ndarray, right: np.ndarray) -> Outcomes:
    """Two classes, of which the first is likeliest."""
    scores = np.stack([confidence, 1 - confidence], axis=1)
    return Outcomes({}, np.zeros(len(right), bool), ("a", "b"), None, 1 - right.astype(int), None, scores)


def units(rows: int, size: int = 1) -> Units:
    return Units.of([str(index // size) for index in range(rows)])


def test_a_model_that_is_too_sure_is_told_by_how_much() -> None:
    right = np.arange(100) % 100 < 84
    found = calibration_of(sure(np.full(100, 0.91), right), units(100))
    assert found is not None
    wilson = binomtest(84, 100).proportion_ci(method="wilson")
    assert (found.confidence, found.accuracy) == pytest.approx((0.91, 0.84))
    assert (found.too_sure, found.low, found.high) == pytest.approx(
        (0.07, 0.91 - wilson.high, 0.91 - wilson.low)
    )
    # With one confidence Spiegelhalter's test is that of a share.
    z = (0.84 - 0.91) / np.sqrt(0.91 * 0.09 / 100)
    assert found.p_value == pytest.approx(2 * norm.sf(abs(z)))


@pytest.mark.parametrize("size", [1, 10])
def test_a_calibrated_model_is_called_otherwise_one_time_in_twenty(size: int) -> None:
    chance = np.random.default_rng(0)
    called, covered = 0, 0
    for _ in range(300):
        shared = np.repeat(chance.standard_normal(400 // size), size)
        latent = (
            norm.cdf(0.6 * shared + 0.8 * chance.standard_normal(400)) if size > 1 else chance.random(400)
        )
        confidence = chance.uniform(0.5, 0.99, 400)
        found = calibration_of(sure(confidence, latent < confidence), units(400, size))
        assert found is not None
        called += found.p_value < 0.05
        covered += found.low <= 0 <= found.high
    assert 3 <= called <= 30
    assert 274 <= covered <= 297


def test_without_probabilities_there_is_none() -> None:
    assert calibration_of(classified(), units(400)) is None
