from __future__ import annotations

import numpy as np
import pytest

from tests.metrics.made import agree, marked
from tunesmith.metrics.token_f1 import token_f1


def test_it_is_the_mean_over_all_answers_the_unread_ones_too() -> None:
    marks = [1.0, 0.0, 0.5, 0.0]
    outcomes = marked({"token_f1": marks}, [False, False, False, True])
    agree(token_f1, outcomes, lambda weights: {"token_f1": float(np.average(marks, weights=weights))})


def test_rows_without_the_mark_have_none() -> None:
    assert token_f1(marked({"other": [1.0]}), np.ones(1))["token_f1"] == pytest.approx(np.nan, nan_ok=True)
