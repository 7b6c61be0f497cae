from __future__ import annotations

import numpy as np
import pytest

from tests.metrics.made import agree, marked
from tunesmith.metrics.rouge_l import rouge_l


def test_it_is_the_mean_over_all_answers_the_unread_ones_too() -> None:
    marks = [1.0, 0.0, 0.5, 0.0]
    outcomes = marked({"rouge_l": marks}, [False, False, False, True])
    agree(rouge_l, outcomes, lambda weights: {"rouge_l": float(np.average(marks, weights=weights))})


def test_rows_without_the_mark_have_none() -> None:
    assert rouge_l(marked({"other": [1.0]}), np.ones(1))["rouge_l"] == pytest.approx(np.nan, nan_ok=True)
