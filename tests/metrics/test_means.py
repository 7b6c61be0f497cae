from __future__ import annotations

import numpy as np
import pytest

from tests.metrics.made import marked
from tunesmith.metrics._means import mean, mean_mark, ratio


def test_values_that_are_not_there_weigh_nothing() -> None:
    assert mean(np.array([1.0, np.nan, 4.0]), np.array([2.0, 5.0, 1.0])) == pytest.approx(2.0)
    assert ratio(np.array([6.0, 1.0]), np.array([2.0, np.nan]), np.ones(2)) == 3.0


def test_nothing_to_average_is_not_zero() -> None:
    assert np.isnan(mean(np.array([1.0]), np.zeros(1)))
    assert np.isnan(mean(np.array([np.nan]), np.ones(1)))
    assert np.isnan(mean_mark("other", marked({"correct": [1.0]}), np.ones(1)))
