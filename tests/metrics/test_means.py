from __future__ import annotations

import numpy as np
import pytest

from tests.metrics.made import marked
from tunesmith.metrics._means import mean, mean_mark, median, ratio, share_over


def test_values_that_are_not_there_weigh_nothing() -> None:
    assert mean(np.array([1.0, np.nan, 4.0]), np.array([2.0, 5.0, 1.0])) == pytest.approx(2.0)
    assert ratio(np.array([6.0, 1.0]), np.array([2.0, np.nan]), np.ones(2)) == 3.0


def test_nothing_to_average_is_not_zero() -> None:
    assert np.isnan(mean(np.array([1.0]), np.zeros(1)))
    assert np.isnan(mean(np.array([np.nan]), np.ones(1)))
    assert np.isnan(mean_mark("other", marked({"correct": [1.0]}), np.ones(1)))
    assert np.isnan(median(np.array([1.0, np.nan]), np.array([0.0, 1.0])))
    assert np.isnan(share_over(0.5, "iou", marked({"iou": [np.nan]}), np.ones(1)))


def test_the_middle_is_told_by_weight_and_between_two_halves_by_both() -> None:
    values = np.array([3.0, np.nan, 1.0, 2.0])
    assert median(values, np.array([1.0, 9.0, 1.0, 1.0])) == 2.0
    assert median(values, np.array([3.0, 9.0, 1.0, 1.0])) == 3.0
    assert median(values, np.array([2.0, 9.0, 1.0, 1.0])) == 2.5
