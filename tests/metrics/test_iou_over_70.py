from __future__ import annotations

import numpy as np

from tests.metrics.made import agree, marked
from tunesmith.metrics.iou_over_70 import iou_over_70

OUTCOMES = marked({"iou": np.random.default_rng(0).random(50)})


def test_it_is_the_share_of_answers_over_the_limit() -> None:
    over = OUTCOMES.marks["iou"] > 0.70
    agree(iou_over_70, OUTCOMES, lambda weights: {"iou_over_70": np.average(over, weights=weights)})


def test_the_limit_itself_is_not_over_it() -> None:
    assert iou_over_70(marked({"iou": [0.70, 0.70 + 1e-9]}), np.ones(2)) == {"iou_over_70": 0.5}
