from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_score

from tests.metrics.made import agree, classified
from tunesmith.metrics import Outcomes
from tunesmith.metrics.precision import precision


def test_each_class_is_scikit_learns_and_unread_answers_are_no_prediction() -> None:
    outcomes = classified()

    def reference(weights: np.ndarray) -> dict[str, float]:
        values = precision_score(
            outcomes.truth, outcomes.predicted, labels=range(4), average=None, sample_weight=weights
        )
        return {f"precision/class {index}": value for index, value in enumerate(values)}

    agree(precision, outcomes, reference)


def test_a_binary_task_gets_the_positive_classes_own_number() -> None:
    outcomes = classified(2, positive=1)
    value = precision(outcomes, np.ones(400))["precision"]
    assert value == pytest.approx(
        precision_score(outcomes.truth, outcomes.predicted, labels=[1], average="macro")
    )


def test_a_class_that_nobody_is_has_no_number() -> None:
    rows = np.zeros(3, int)
    outcomes = Outcomes({}, np.zeros(3, bool), ("a", "b"), truth=rows, predicted=rows)
    values = precision(outcomes, np.ones(3))
    assert values["precision/a"] == 1
    assert np.isnan(values["precision/b"])
