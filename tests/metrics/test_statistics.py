from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from tests.metrics.made import classified, marked, weights_of
from tunesmith.metrics._confusion import class_f1_counts
from tunesmith.metrics._statistics import MeanOfShares, Shares, mark, mean_of, ratio_of, share_of


def test_f1_is_that_of_the_share_of_right_answers_among_those_of_the_class_or_said_to_be() -> None:
    outcomes = classified()
    weights = weights_of(outcomes)
    found = Shares(class_f1_counts, is_f1=True).of(outcomes, weights)
    expected = f1_score(
        outcomes.truth, outcomes.predicted, average=None, labels=range(4), sample_weight=weights
    )
    assert list(found.values()) == pytest.approx(list(expected))


def test_a_mean_by_size_is_scikit_learns_weighted_average() -> None:
    outcomes, weights = classified(), np.ones(400)
    found = MeanOfShares("f1_weighted", Shares(class_f1_counts, is_f1=True), by_size=True)
    expected = f1_score(outcomes.truth, outcomes.predicted, average="weighted", labels=range(4))
    assert found.of(outcomes, weights) == pytest.approx({"f1_weighted": expected})


def test_a_row_without_a_value_counts_neither_in_a_share_nor_in_a_mean() -> None:
    outcomes = marked({"iou": [np.nan, 0.5, 1.0], "correct": [np.nan, 0.0, 1.0], "size": [1.0, np.nan, 4.0]})
    weights = np.array([1.0, 1.0, 3.0])
    assert mean_of("iou", mark("iou")).of(outcomes, weights) == {"iou": 0.875}
    assert share_of("right", mark("correct")).of(outcomes, weights) == {"right": 0.75}
    ratio = ratio_of("each", lambda them: (them.marks["iou"], them.marks["size"]))
    assert ratio.of(outcomes, weights) == {"each": 0.25}


def test_what_no_row_has_is_no_number() -> None:
    outcomes = marked({"iou": [0.5]})
    for statistic in (mean_of("x", mark("other")), share_of("x", mark("other"))):
        assert np.isnan(statistic.of(outcomes, np.ones(1))["x"])
