import math

import numpy as np

from tests.metrics.several import several
from tunesmith.metrics._sets import f1_of, sums


def test_a_class_that_no_row_has_or_names_sums_to_nothing() -> None:
    outcomes, true, named = several()
    assert sums("/d", outcomes, np.ones(60)) == (0, 0, 0)
    assert math.isnan(f1_of(0, 0, 0))
    assert sums("/a", outcomes, np.ones(60))[0] == (true & named)[:, 0].sum()
