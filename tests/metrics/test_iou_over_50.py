from __future__ import annotations

import numpy as np

from tests.metrics.made import agree, marked
from tunesmith.metrics.iou_over_50 import iou_over_50

OUTCOMES = marked({"iou": np.random.default_rng(0).random(50)})


def test_it_is_the_share_of_answers_over_the_limit() -> None:
    over = OUTCOMES.marks["iou"] > 0.50
    agree(iou_over_50, OUTCOMES, lambda weights: {"iou_over_50": np.average(over, weights=weights)})


def test_the_limit_itself_is_not_over_it() -> None:
    assert iou_over_50(marked({"iou": [0.50, 0.50 + 1e-9]}), np.ones(2)) == {"iou_over_50": 0.5}
