from __future__ import annotations

import numpy as np
from sklearn.metrics import recall_score

from tests.metrics.made import agree
from tests.metrics.made_boxes import Pictured, found, pictures
from tunesmith.metrics.box_recall import box_recall


def test_it_is_scikit_learns_of_one_decision_a_box() -> None:
    made = pictures()
    outcomes = found(made)

    def reference(weights: np.ndarray) -> dict[str, float]:
        true, said, each = [], [], []
        columns = [outcomes.marks[name].astype(int) for name in ("objects", "predicted", "matched_50")]
        for objects, predicted, matched, weight in zip(*columns, weights, strict=True):
            true += [1] * objects + [0] * (predicted - matched)
            said += [1] * matched + [0] * (objects - matched) + [1] * (predicted - matched)
            each += [weight] * (objects + predicted - matched)
        return {"box_recall": recall_score(true, said, sample_weight=each)}

    agree(box_recall, outcomes, reference)


def test_no_box_said_where_some_are_is_nothing_and_no_box_anywhere_is_no_number() -> None:
    true = pictures()[0].true
    assert box_recall(found([Pictured((), true)]), np.ones(1)) == {"box_recall": 0.0}
    assert box_recall(found([Pictured(true, ())]), np.ones(1)) == {"box_recall": 0.0}
    assert np.isnan(box_recall(found([Pictured((), ())]), np.ones(1))["box_recall"])
