from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from tests.metrics.made import agree, classified
from tunesmith.metrics import Outcomes
from tunesmith.metrics.f1 import f1


def test_each_class_is_scikit_learns_and_unread_answers_are_not_found() -> None:
    outcomes = classified()

    def reference(weights: np.ndarray) -> dict[str, float]:
        values = f1_score(
            outcomes.truth, outcomes.predicted, labels=range(4), average=None, sample_weight=weights
        )
        return {f"f1/class {index}": value for index, value in enumerate(values)}

    agree(f1, outcomes, reference)


def test_a_binary_task_gets_the_positive_classes_own_number() -> None:
    outcomes = classified(2, positive=1)
    value = f1(outcomes, np.ones(400))["f1"]
    assert value == pytest.approx(f1_score(outcomes.truth, outcomes.predicted, labels=[1], average="macro"))


def test_a_class_that_nobody_is_has_no_number() -> None:
    rows = np.zeros(3, int)
    outcomes = Outcomes({}, np.zeros(3, bool), ("a", "b"), truth=rows, predicted=rows)
    values = f1(outcomes, np.ones(3))
    assert values["f1/a"] == 1
    assert np.isnan(values["f1/b"])
