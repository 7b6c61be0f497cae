from __future__ import annotations

import numpy as np
from sklearn.metrics import f1_score

from tests.metrics.made import agree
from tests.metrics.made_boxes import Pictured, found, pictures
from tunesmith.metrics.box_f1 import box_f1


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
        return {"box_f1": f1_score(true, said, sample_weight=each)}

    agree(box_f1, outcomes, reference)


def test_no_box_said_where_some_are_is_nothing_and_no_box_anywhere_is_no_number() -> None:
    true = pictures()[0].true
    assert box_f1(found([Pictured((), true)]), np.ones(1)) == {"box_f1": 0.0}
    assert box_f1(found([Pictured(true, ())]), np.ones(1)) == {"box_f1": 0.0}
    assert np.isnan(box_f1(found([Pictured((), ())]), np.ones(1))["box_f1"])
