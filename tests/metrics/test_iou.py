from __future__ import annotations

import numpy as np
import pytest

from tests.metrics.made import agree, marked
from tunesmith.metrics.iou import iou

OUTCOMES = marked({"iou": np.random.default_rng(0).random(50)})


def test_it_is_the_weighted_mean() -> None:
    agree(iou, OUTCOMES, lambda weights: {"iou": np.average(OUTCOMES.marks["iou"], weights=weights)})


def test_an_unread_answer_counts_as_no_overlap() -> None:
    outcomes = marked({"iou": [0.8, 0.0]}, [False, True])
    assert iou(outcomes, np.ones(2)) == {"iou": pytest.approx(0.4)}
