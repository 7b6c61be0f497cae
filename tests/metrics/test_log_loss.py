from __future__ import annotations

import numpy as np
from sklearn.metrics import log_loss as reference

from tests.metrics.made import agree, classified
from tunesmith.metrics import Outcomes
from tunesmith.metrics.log_loss import log_loss


def test_it_is_scikit_learns() -> None:
    outcomes = classified(scored=True)
    agree(
        log_loss,
        outcomes,
        lambda weights: {
            "log_loss": reference(outcomes.truth, outcomes.scores, labels=range(4), sample_weight=weights)
        },
    )


def test_one_impossible_truth_does_not_make_it_infinite() -> None:
    scores = np.array([[1.0, 0.0], [1.0, 0.0]])
    outcomes = Outcomes({}, np.zeros(2, bool), ("a", "b"), truth=np.array([0, 1]), scores=scores)
    assert 15 < log_loss(outcomes, np.ones(2))["log_loss"] < 20


def test_written_answers_have_none() -> None:
    assert np.isnan(log_loss(classified(), np.ones(400))["log_loss"])
