from __future__ import annotations

import numpy as np
import pytest

from tests.metrics.made import marked
from tunesmith.metrics._means import is_over, mean, median, ratio


def test_values_that_are_not_there_weigh_nothing() -> None:
    assert mean(np.array([1.0, np.nan, 4.0]), np.array([2.0, 5.0, 1.0])) == pytest.approx(2.0)
    assert ratio(np.array([6.0, 1.0]), np.array([2.0, np.nan]), np.ones(2)) == 3.0


def test_nothing_to_average_is_not_zero() -> None:
    assert np.isnan(mean(np.array([1.0]), np.zeros(1)))
    assert np.isnan(mean(np.array([np.nan]), np.ones(1)))
    assert np.isnan(median(np.array([1.0, np.nan]), np.array([0.0, 1.0])))


def test_the_middle_is_told_by_weight_and_between_two_halves_by_both() -> None:
    values = np.array([3.0, np.nan, 1.0, 2.0])
    assert median(values, np.array([1.0, 9.0, 1.0, 1.0])) == 2.0
    assert median(values, np.array([3.0, 9.0, 1.0, 1.0])) == 3.0
    assert median(values, np.array([2.0, 9.0, 1.0, 1.0])) == 2.5


def test_a_row_without_the_mark_is_neither_over_nor_under_a_limit() -> None:
    np.testing.assert_array_equal(
        is_over(0.5, "iou")(marked({"iou": [np.nan, 0.5, 0.6]})), [np.nan, 0.0, 1.0]
    )
