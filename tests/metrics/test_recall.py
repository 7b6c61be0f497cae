from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import recall_score

from tests.metrics.made import agree, classified
from tunesmith.metrics import Outcomes
from tunesmith.metrics.recall import recall


def test_each_class_is_scikit_learns_and_unread_answers_are_not_found() -> None:
    outcomes = classified()

    def reference(weights: np.ndarray) -> dict[str, float]:
        values = recall_score(
            outcomes.truth, outcomes.predicted, labels=range(4), average=None, sample_weight=weights
        )
        return {f"recall/class {index}": value for index, value in enumerate(values)}

    agree(recall, outcomes, reference)


def test_a_binary_task_gets_the_positive_classes_own_number() -> None:
    outcomes = classified(2, positive=1)
    value = recall(outcomes, np.ones(400))["recall"]
    assert value == pytest.approx(
        recall_score(outcomes.truth, outcomes.predicted, labels=[1], average="macro")
    )


def test_a_class_that_nobody_is_has_no_number() -> None:
    rows = np.zeros(3, int)
    outcomes = Outcomes({}, np.zeros(3, bool), ("a", "b"), truth=rows, predicted=rows)
    values = recall(outcomes, np.ones(3))
    assert values["recall/a"] == 1
    assert np.isnan(values["recall/b"])
