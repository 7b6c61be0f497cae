from __future__ import annotations

import doctest

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import binomtest, norm
from scipy.stats import t as student_t

from tunesmith.evaluate import intervals as module
from tunesmith.evaluate.intervals import (
    bounded_interval,
    concentrated_degrees,
    design_effect,
    jackknife_centre,
    jackknife_variance,
    kish,
    share_change_interval,
    share_interval,
    student,
    tango,
    tells_little,
    units_of_risk,
    wilson,
)


def test_the_examples_in_the_docstrings_are_true() -> None:
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(("right", "number"), [(0, 20), (20, 20), (3, 7), (99, 100), (1, 1000)])
def test_limits_of_a_share_are_wilsons_as_scipy_has_them(right: int, number: int) -> None:
    expected = binomtest(right, number).proportion_ci(method="wilson")
    assert tuple(map(float, wilson(right / number, number))) == pytest.approx((expected.low, expected.high))
    part, whole = np.zeros(number), np.ones(number)
    part[:right] = 1
    assert tuple(map(float, share_interval(part, whole))) == pytest.approx((expected.low, expected.high))


def test_quantiles_are_scipys() -> None:
    degrees = np.array([1.0, 5.0, 24.0, np.inf])
    np.testing.assert_allclose(student(degrees), [*student_t.ppf(0.975, degrees[:3]), norm.ppf(0.975)])


@pytest.mark.parametrize(
    ("gained", "lost", "number"), [(9, 2, 50), (0, 4, 20), (1, 0, 30), (0, 0, 20), (40, 3, 60)]
)
def test_limits_of_a_paired_change_invert_the_score_test(gained: int, lost: int, number: int) -> None:
    """The likelihood is maximised numerically under a given change, without Tango's formula."""

    def score(change: float) -> float:
        def negative(q: float) -> float:
            p, rest = q + change, 1 - 2 * q - change
            pairs = ((gained, p), (lost, q), (number - gained - lost, rest))
            return -sum(count * np.log(max(chance, 1e-300)) for count, chance in pairs if count)

        bounds = (max(0.0, -change), (1 - change) / 2)
        q = minimize_scalar(negative, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
        variance = number * (2 * q + change - change**2)
        return float((gained - lost - number * change) / np.sqrt(max(variance, 1e-12)))

    change, z = (gained - lost) / number, norm.ppf(0.975)
    low = brentq(lambda at: score(at) - z, -0.999, change - 1e-4)
    high = brentq(lambda at: score(at) + z, change + 1e-4, 0.999)
    assert tuple(map(float, tango(gained, lost, number))) == pytest.approx((low, high), abs=1e-4)


def test_many_data_sets_at_once_are_each_alone() -> None:
    chance = np.random.default_rng(0)
    whole = chance.integers(0, 6, size=(5, 12)).astype(float)
    part, less = (
        chance.binomial(whole.astype(int), 0.7).astype(float),
        chance.binomial(whole.astype(int), 0.2),
    )
    together = share_interval(part, whole)
    gained, lost = np.minimum(less, part), np.minimum(whole - part, less).astype(float)
    paired = share_change_interval(gained, lost, whole)
    for index in range(5):
        alone = share_interval(part[index], whole[index])
        np.testing.assert_allclose([end[index] for end in together], alone)
        alone = share_change_interval(gained[index], lost[index], whole[index])
        np.testing.assert_allclose([end[index] for end in paired], alone)


def test_a_jackknife_of_a_mean_is_its_variance_and_has_no_bias() -> None:
    values = np.random.default_rng(0).random(40)
    without = (values.sum() - values) / 39
    assert jackknife_variance(without) == pytest.approx(values.var(ddof=1) / 40)
    assert jackknife_centre(values.mean(), without) == pytest.approx(values.mean())
    low, high = bounded_interval(values.mean(), jackknife_variance(without), 40, 39)
    assert low < values.mean() < high


def test_a_design_effect_is_one_without_and_the_size_with_full_likeness() -> None:
    whole = np.full(50, 8.0)
    alike = np.where(np.arange(50) % 3 == 0, 0.0, 8.0)
    assert float(design_effect(alike, whole)) == pytest.approx(8.0, rel=0.1)
    assert float(design_effect(np.full(50, 6.0), whole)) == 1.0
    assert float(kish(np.array([4.0, 4.0, 4.0]))) == 3.0


def test_nothing_wrong_in_groups_counts_groups_and_not_records() -> None:
    low, _ = share_interval(np.full(12, 20.0), np.full(12, 20.0))
    assert float(low) == pytest.approx(float(wilson(1.0, 12, student_t.ppf(0.975, 11))[0]))


def test_a_risk_that_few_units_carry_spreads_over_few() -> None:
    whole = np.full(20, 50.0)
    alike, few = np.full(20, 5.0), np.zeros(20)
    few[:4] = 25.0
    assert float(units_of_risk(alike, whole)) == 20.0
    assert float(units_of_risk(few, whole)) == pytest.approx(4.17, abs=0.01)
    assert float(units_of_risk(whole - few, whole)) == pytest.approx(4.17, abs=0.01)
    assert float(units_of_risk(np.eye(20)[0], whole)) == 20.0
    assert not tells_little(few, whole)
    assert tells_little(np.where(np.arange(20) < 2, 20.0, 0.0), whole)


def test_few_units_that_carry_the_variance_have_few_degrees_of_freedom() -> None:
    values = np.zeros(100)
    assert concentrated_degrees(np.random.default_rng(0).normal(size=100)) > 60
    values[:3] = 1.0
    assert concentrated_degrees(values) < 8


def test_nothing_counted_has_no_limits() -> None:
    assert np.isnan(share_interval(np.zeros(3), np.zeros(3))).all()
    assert np.isnan(share_change_interval(np.zeros(3), np.zeros(3), np.zeros(3))).all()
