from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap as reference

from tests.metrics.made import classified
from tunesmith.metrics._intervals import bootstrap, interval
from tunesmith.metrics.accuracy import accuracy
from tunesmith.metrics.f1_macro import f1_macro


def test_it_agrees_with_scipys_percentile_bootstrap() -> None:
    outcomes = classified()
    drawn = bootstrap(lambda weights: accuracy(outcomes, weights), 400, 2000, seed=3)
    expected = reference(
        (outcomes.marks["correct"],), np.mean, n_resamples=4000, method="percentile", rng=1
    ).confidence_interval
    assert interval(drawn["accuracy"]) == pytest.approx((expected.low, expected.high), abs=0.005)


def test_it_covers_the_truth_about_95_times_of_100() -> None:
    chance = np.random.default_rng(0)
    covered = 0
    for trial in range(100):
        values = (chance.random(150) < 0.7).astype(float)
        drawn = bootstrap(
            lambda weights, values=values: {"mean": float(values @ weights / 150)}, 150, 200, trial
        )
        low, high = interval(drawn["mean"])
        covered += low <= 0.7 <= high
    assert 88 <= covered <= 99


def test_the_same_seed_gives_the_same_interval_and_draws_the_same_rows_for_every_metric() -> None:
    outcomes = classified()
    both = bootstrap(
        lambda weights: accuracy(outcomes, weights) | f1_macro(outcomes, weights), 400, 100, seed=3
    )
    alone = bootstrap(lambda weights: f1_macro(outcomes, weights), 400, 100, seed=3)
    np.testing.assert_array_equal(both["f1_macro"], alone["f1_macro"])
    other = bootstrap(lambda weights: f1_macro(outcomes, weights), 400, 100, seed=4)
    assert (other["f1_macro"] != alone["f1_macro"]).any()


def test_resamples_in_which_nothing_could_be_measured_are_left_out() -> None:
    assert interval(np.array([np.nan, 1.0, 1.0, np.nan])) == (1.0, 1.0)
    assert np.isnan(interval(np.array([np.nan]))).all()
