from __future__ import annotations

import numpy as np
import pytest

from tests.metrics.made import agree, classified
from tunesmith.metrics import Outcomes
from tunesmith.metrics.calibration_error import calibration_error


def definition(outcomes: Outcomes, weights: np.ndarray) -> float:
    """Guo et al. 2017, equations 1 to 3, bin by bin."""
    assert outcomes.scores is not None
    confidence = outcomes.scores.max(1)
    right = outcomes.scores.argmax(1) == outcomes.truth
    total = 0.0
    for number in range(15):
        inside = (confidence > number / 15) & (confidence <= (number + 1) / 15)
        if inside.any():
            accuracy = np.average(right[inside], weights=weights[inside])
            mean_confidence = np.average(confidence[inside], weights=weights[inside])
            total += weights[inside].sum() / weights.sum() * abs(accuracy - mean_confidence)
    return total


def test_it_is_the_papers_definition() -> None:
    outcomes = classified(scored=True)
    agree(calibration_error, outcomes, lambda weights: {"calibration_error": definition(outcomes, weights)})


def test_a_model_that_is_sure_and_right_has_none_and_one_that_is_sure_and_wrong_has_all() -> None:
    scores = np.array([[1.0, 0.0]] * 4)
    for truth, expected in ((0, 0.0), (1, 1.0)):
        outcomes = Outcomes({}, np.zeros(4, bool), ("a", "b"), truth=np.full(4, truth), scores=scores)
        assert calibration_error(outcomes, np.ones(4))["calibration_error"] == pytest.approx(expected)
