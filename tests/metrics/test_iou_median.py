from __future__ import annotations

import numpy as np

from tests.metrics.made import marked, weights_of
from tunesmith.metrics.iou_median import iou_median


def test_it_is_numpys_median_of_the_rows_each_as_often_as_drawn() -> None:
    for rows in (50, 51):
        outcomes = marked({"iou": np.random.default_rng(rows).random(rows).round(1)})
        values = outcomes.marks["iou"]
        assert iou_median(outcomes, np.ones(rows)) == {"iou_median": np.median(values)}
        for seed in range(20):
            weights = weights_of(outcomes, seed) - 1
            drawn = np.repeat(values, weights.astype(int))
            assert iou_median(outcomes, weights) == {"iou_median": np.median(drawn)}
