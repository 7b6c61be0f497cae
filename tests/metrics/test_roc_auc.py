from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.metrics.made import agree, classified
from tunesmith.metrics import Outcomes
from tunesmith.metrics.roc_auc import roc_auc


def test_several_classes_are_scikit_learns_one_against_the_rest() -> None:
    outcomes = classified(scored=True)
    scores = outcomes.scores
    assert scores is not None
    # scikit-learn takes no weights with several classes at once, so each class is asked for by itself.
    agree(
        roc_auc,
        outcomes,
        lambda weights: {
            "roc_auc": float(
                np.mean(
                    [
                        roc_auc_score(outcomes.truth == label, scores[:, label], sample_weight=weights)
                        for label in range(4)
                    ]
                )
            )
        },
    )
    whole = roc_auc_score(outcomes.truth, scores, multi_class="ovr", average="macro")
    assert roc_auc(outcomes, np.ones(400))["roc_auc"] == pytest.approx(whole)


def test_two_classes_are_scikit_learns_binary_area() -> None:
    outcomes = classified(2, scored=True)
    scores = outcomes.scores
    assert scores is not None
    agree(
        roc_auc,
        outcomes,
        lambda weights: {"roc_auc": roc_auc_score(outcomes.truth, scores[:, 1], sample_weight=weights)},
    )


def test_one_class_alone_cannot_be_ranked() -> None:
    scores = np.array([[0.5, 0.5], [0.2, 0.8]])
    outcomes = Outcomes({}, np.zeros(2, bool), ("a", "b"), truth=np.array([1, 1]), scores=scores)
    assert np.isnan(roc_auc(outcomes, np.ones(2))["roc_auc"])
