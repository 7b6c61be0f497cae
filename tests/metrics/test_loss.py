from __future__ import annotations

import numpy as np
import pytest

from tests.metrics.made import marked
from tunesmith.metrics.loss import METRIC, loss


def test_every_token_counts_alike_however_long_its_answer() -> None:
    outcomes = marked({"nats": [2.0, 30.0], "tokens": [1.0, 10.0]})
    assert loss(outcomes, np.ones(2))["loss"] == pytest.approx(32 / 11)
    assert loss(outcomes, np.array([2.0, 1.0]))["loss"] == pytest.approx(34 / 12)
    assert METRIC.better == "lower"


def test_an_answer_without_a_number_does_not_spoil_the_others() -> None:
    outcomes = marked({"nats": [2.0, np.nan], "tokens": [1.0, np.nan]})
    assert loss(outcomes, np.ones(2))["loss"] == 2


def test_written_answers_have_none() -> None:
    assert np.isnan(loss(marked({"correct": [1.0]}), np.ones(1))["loss"])
