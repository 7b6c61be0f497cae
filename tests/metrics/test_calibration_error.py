from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.metrics.made import agree, classified
from tunesmith.metrics import Outcomes
from tunesmith.metrics.calibration_error import calibration_error


def definition(outcomes: Outcomes, weights: np.ndarray) -> float:
    """Roelofs et al. 2022, algorithm 1: equally many rows a bin, more bins while accuracy rises with them."""
    assert outcomes.scores is not None
    rows = sorted(
        (float(scores.max()), index, bool(scores.argmax() == true))
        for index, (scores, true) in enumerate(zip(outcomes.scores, outcomes.truth, strict=True))
    )
    repeated = [row for row in rows for _ in range(int(weights[row[1]]))]
    error = 0.0
    for number in range(1, len(repeated) + 1):
        edges = [round(len(repeated) * place / number) for place in range(number + 1)]
        bins = [repeated[start:end] for start, end in itertools.pairwise(edges)]
        accuracy = [sum(right for _, _, right in some) / len(some) for some in bins]
        if accuracy != sorted(accuracy):
            break
        error = sum(abs(sum(right - sure for sure, _, right in some)) for some in bins) / len(repeated)
    return error


def test_a_calibrated_model_has_less_of_it_than_with_fifteen_equal_bins() -> None:
    chance = np.random.default_rng(0)
    swept, fixed = [], []
    for _ in range(40):
        sure = chance.uniform(0.5, 1.0, 250)
        scores = np.stack([sure, 1 - sure], axis=1)
        truth = (chance.random(250) > sure).astype(int)
        outcomes = Outcomes({}, np.zeros(250, bool), ("a", "b"), truth=truth, scores=scores)
        swept.append(calibration_error(outcomes, np.ones(250))["calibration_error"])
        bins = np.ceil(sure * 15).astype(int)
        fixed.append(np.abs(np.bincount(bins, (truth == 0) - sure)).sum() / 250)
    assert np.mean(swept) < 0.8 * np.mean(fixed)


def test_it_is_the_papers_definition() -> None:
    outcomes = classified(scored=True)
    agree(calibration_error, outcomes, lambda weights: {"calibration_error": definition(outcomes, weights)})


def test_a_model_that_is_sure_and_right_has_none_and_one_that_is_sure_and_wrong_has_all() -> None:
    scores = np.array([[1.0, 0.0]] * 4)
    for truth, expected in ((0, 0.0), (1, 1.0)):
        outcomes = Outcomes({}, np.zeros(4, bool), ("a", "b"), truth=np.full(4, truth), scores=scores)
        assert calibration_error(outcomes, np.ones(4))["calibration_error"] == pytest.approx(expected)
