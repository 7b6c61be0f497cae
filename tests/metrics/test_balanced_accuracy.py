from __future__ import annotations

from sklearn.metrics import recall_score

from tests.metrics.made import agree, classified
from tunesmith.metrics.balanced_accuracy import balanced_accuracy


def test_it_is_the_mean_of_scikit_learns_recalls() -> None:
    outcomes = classified()
    agree(
        balanced_accuracy,
        outcomes,
        lambda weights: {
            "balanced_accuracy": recall_score(
                outcomes.truth, outcomes.predicted, labels=range(4), average="macro", sample_weight=weights
            )
        },
    )
