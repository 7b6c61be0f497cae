from __future__ import annotations

import numpy as np
import pytest

from tests.metrics.made import agree, marked
from tunesmith.metrics.exact_match import exact_match


def test_it_is_the_mean_over_all_answers_the_unread_ones_too() -> None:
    marks = [1.0, 0.0, 0.5, 0.0]
    outcomes = marked({"correct": marks}, [False, False, False, True])
    agree(exact_match, outcomes, lambda weights: {"exact_match": float(np.average(marks, weights=weights))})


def test_rows_without_the_mark_have_none() -> None:
    assert exact_match(marked({"other": [1.0]}), np.ones(1))["exact_match"] == pytest.approx(
        np.nan, nan_ok=True
    )
