from __future__ import annotations

from sklearn.metrics import accuracy_score

from tests.metrics.made import agree, classified
from tunesmith.metrics.accuracy import accuracy


def test_it_is_scikit_learns_and_unread_answers_are_wrong() -> None:
    outcomes = classified()
    agree(
        accuracy,
        outcomes,
        lambda weights: {
            "accuracy": accuracy_score(outcomes.truth, outcomes.predicted, sample_weight=weights),
        },
    )
