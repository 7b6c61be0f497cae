from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from tests.metrics.made import agree, classified
from tunesmith.metrics import Outcomes
from tunesmith.metrics.f1_weighted import f1_weighted


def test_it_is_scikit_learns() -> None:
    outcomes = classified()
    agree(
        f1_weighted,
        outcomes,
        lambda weights: {
            "f1_weighted": f1_score(
                outcomes.truth, outcomes.predicted, labels=range(4), average="weighted", sample_weight=weights
            )
        },
    )


def test_a_class_that_nobody_is_does_not_pull_it_down() -> None:
    truth, predicted = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0])
    outcomes = Outcomes({}, np.zeros(4, bool), ("a", "b", "c"), truth=truth, predicted=predicted)
    reference = f1_score(truth, predicted, average="weighted")
    assert f1_weighted(outcomes, np.ones(4))["f1_weighted"] == pytest.approx(reference)
