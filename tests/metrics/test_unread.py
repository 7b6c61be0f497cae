from __future__ import annotations

import numpy as np
import pytest

from tests.metrics.made import classified
from tunesmith.metrics.unread import METRIC, unread


def test_it_is_the_share_of_unread_answers_and_fewer_are_better() -> None:
    outcomes = classified(unread=0.25)
    share = unread(outcomes, np.ones(400))["unread"]
    assert share == pytest.approx((outcomes.predicted == -1).mean())  # type: ignore[operator, union-attr]
    assert METRIC.better == "lower"
