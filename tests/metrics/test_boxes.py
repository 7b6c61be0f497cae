from __future__ import annotations

import numpy as np
import pytest

from tests.metrics.made_boxes import found, pictures
from tunesmith.metrics._boxes import average_precision, found_at_half, share


def test_counts_are_sums_over_rows_by_weight() -> None:
    made = pictures(rows=5)
    weights = np.array([0.0, 1.0, 2.0, 1.0, 1.0])
    objects, predicted, matched = found_at_half(found(made), weights)
    assert objects == sum(weight * len(one.true) for weight, one in zip(weights, made, strict=True))
    assert predicted == sum(weight * len(one.said) for weight, one in zip(weights, made, strict=True))
    assert 0 < matched <= min(objects, predicted)


def test_a_share_of_nothing_is_none_and_where_nothing_is_measured_there_is_no_number() -> None:
    assert share(0, 0, True) == 0
    assert np.isnan(share(0, 0, False))


def test_thresholds_are_averaged() -> None:
    outcomes, weights = found(pictures(rows=50)), np.ones(50)
    each = [average_precision(outcomes, weights, [threshold]) for threshold in range(50, 100, 5)]
    assert each == sorted(each, reverse=True)
    assert average_precision(outcomes, weights) == pytest.approx(np.mean(each))
