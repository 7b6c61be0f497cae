from __future__ import annotations

import numpy as np

from tests.metrics.made import marked
from tunesmith.metrics.detection_rate import detection_rate


def test_pictures_with_nothing_to_find_do_not_count() -> None:
    outcomes = marked({"detected": [1, 0, 1, np.nan, np.nan]})
    assert detection_rate(outcomes, np.array([1.0, 2, 1, 5, 5])) == {"detection_rate": 0.5}
