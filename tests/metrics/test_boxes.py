from __future__ import annotations

import numpy as np
import pytest

from tests.metrics.made_boxes import found, pictures
from tunesmith.metrics._boxes import average_precision, box_f1_counts, box_precision_counts, box_recall_counts


def test_counts_are_those_of_each_row() -> None:
    made = pictures(rows=5)
    outcomes = found(made)
    (both,), (said,), (there,) = (
        list(counts(outcomes)) for counts in (box_f1_counts, box_precision_counts, box_recall_counts)
    )
    assert list(there.denominator) == [len(one.true) for one in made]
    assert list(said.denominator) == [len(one.said) for one in made]
    np.testing.assert_array_equal(both.denominator, there.denominator + said.denominator - there.numerator)
    assert 0 < both.numerator.sum() <= min(there.denominator.sum(), said.denominator.sum())


def test_thresholds_are_averaged() -> None:
    outcomes, weights = found(pictures(rows=50)), np.ones(50)
    each = [
        average_precision("ap", [threshold]).of(outcomes, weights)["ap"] for threshold in range(50, 100, 5)
    ]
    assert each == sorted(each, reverse=True)
    assert average_precision("ap").of(outcomes, weights)["ap"] == pytest.approx(np.mean(each))


def test_without_steps_it_is_the_same_to_half_a_step_of_recall() -> None:
    outcomes, statistic = found(pictures(rows=50)), average_precision("ap")
    sums = statistic.columns(outcomes).sum(0)
    assert statistic.smooth is not None
    assert statistic.smooth(sums)["ap"] == pytest.approx(statistic.values(sums)["ap"], abs=0.01)
