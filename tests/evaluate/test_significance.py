from __future__ import annotations

import doctest

import numpy as np
import pytest
from scipy.stats import binom, binomtest, permutation_test

from tunesmith.evaluate import significance as module
from tunesmith.evaluate.significance import (
    Signs,
    exchange_p,
    false_discovery_rate,
    flip_p,
    mcnemar_mid_p,
    step_down,
)


def test_the_examples_in_the_docstrings_are_true() -> None:
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(("fixed", "broken"), [(0, 0), (1, 0), (3, 9), (40, 40), (210, 9), (3000, 2800)])
def test_mcnemars_mid_p_is_the_exact_binomial_less_half_of_what_was_seen_on_both_sides(
    fixed: int, broken: int
) -> None:
    expected = 1.0
    if fixed + broken:
        seen = binom.pmf(fixed, fixed + broken, 0.5)
        expected = min(1.0, 2 * (binom.cdf(min(fixed, broken), fixed + broken, 0.5) - seen / 2))
        assert mcnemar_mid_p(fixed, broken) <= binomtest(fixed, fixed + broken).pvalue + 1e-12
    assert mcnemar_mid_p(fixed, broken) == pytest.approx(expected, rel=1e-6)


def test_flips_of_single_answers_are_mcnemars_test() -> None:
    differences = np.array([1.0] * 8 + [-1.0] * 2 + [0.0] * 40)
    assert flip_p(differences, 100, 1) == pytest.approx(mcnemar_mid_p(8, 2))
    many = np.array([1.0] * 40 + [-1.0] * 20)
    assert flip_p(many, 20_000, 1) == pytest.approx(mcnemar_mid_p(40, 20), abs=0.003)


def test_all_flips_are_scipys_permutation_test_less_half_of_the_ties() -> None:
    differences = np.array([3.0, 1.0, -2.0, 5.0, 4.0, -1.0, 2.5, 0.5])
    exact = permutation_test(
        (differences,), np.sum, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    )
    ties = (np.abs(np.abs(exact.null_distribution) - abs(differences.sum())) < 1e-9).mean()
    assert flip_p(differences, 100, 1) == pytest.approx(exact.pvalue - ties / 2)


def test_five_units_of_one_mind_are_significant_by_mid_p_and_four_are_not() -> None:
    assert flip_p(np.ones(5), 100, 1) == pytest.approx(1 / 32)
    assert flip_p(np.ones(4), 100, 1) == pytest.approx(1 / 16)


def test_the_same_seed_exchanges_the_same_units_in_any_selection() -> None:
    one, other = (Signs.drawn(40, 50, 3) for _ in range(2))
    columns = np.eye(40)
    every = one.sums(np.arange(40), columns)
    assert set(np.unique(every)) == {-1.0, 1.0}
    np.testing.assert_array_equal(other.sums(np.array([7, 3]), columns[[7, 3]])[:, [7, 3]], every[:, [7, 3]])
    assert abs(every.mean()) < 0.1
    assert (Signs.drawn(40, 50, 4).sums(np.arange(40), columns) != every).any()


def test_every_exchange_of_few_units_is_gone_through_once() -> None:
    signs = Signs.of(np.array([2, 5, 9]), 12, 100, 1)
    assert signs.is_exact
    found = signs.sums(np.array([2, 5, 9]), np.eye(3))
    assert sorted(map(tuple, found)) == sorted(
        (a, b, c) for a in (-1.0, 1.0) for b in (-1.0, 1.0) for c in (-1.0, 1.0)
    )


def test_a_family_of_one_is_the_test_alone_and_equal_members_cost_nothing() -> None:
    chance = np.random.default_rng(0)
    exchanged = chance.normal(size=(999, 1))
    alone = float(step_down(np.array([2.0]), exchanged, False)[0])
    assert alone == (1 + (np.abs(exchanged) >= 2.0).sum()) / 1000
    same = step_down(np.array([2.0, 2.0, 2.0]), np.repeat(exchanged, 3, axis=1), False)
    assert list(same) == pytest.approx([alone] * 3)


def test_independent_members_are_corrected_as_many_and_the_strongest_first() -> None:
    chance = np.random.default_rng(0)
    exchanged = chance.normal(size=(20_000, 10))
    changes = np.array([0.1] * 8 + [2.9, 3.5])
    corrected = step_down(changes, exchanged, False)
    assert corrected[9] == pytest.approx(1 - (1 - 0.000465) ** 10, abs=0.002)
    assert corrected[8] == pytest.approx(1 - (1 - 0.00373) ** 9, abs=0.005)
    assert corrected[9] <= corrected[8] <= corrected[0]


def test_a_number_that_no_exchange_moves_is_never_significant() -> None:
    exchanged = np.stack([np.zeros(99), np.random.default_rng(0).normal(size=99)], axis=1)
    corrected = step_down(np.array([0.0, 5.0]), exchanged, False)
    assert list(corrected) == [1.0, 0.01]


def test_a_family_without_any_change_names_one_in_twenty_times() -> None:
    chance = np.random.default_rng(0)
    signs = Signs.drawn(60, 400, 1)
    named = 0
    for _ in range(400):
        differences = chance.normal(size=(60, 8)) @ np.diag(np.arange(1, 9.0))
        exchanged = signs.sums(np.arange(60), differences)
        named += (step_down(differences.sum(0), exchanged, False) < 0.05).any()
    assert 0.02 <= named / 400 <= 0.085


def test_drawn_exchanges_never_give_a_p_value_of_none() -> None:
    assert float(exchange_p(9.0, np.zeros((99,)), False)) == pytest.approx(0.005)
    assert float(exchange_p(0.0, np.zeros((99,)), False)) <= 1.0


def test_false_discovery_rates_are_benjamini_and_hochbergs() -> None:
    from scipy.stats import false_discovery_control

    p_values = [0.001, 0.04, 0.03, 0.8, 0.2]
    assert false_discovery_rate(p_values) == pytest.approx(list(false_discovery_control(p_values)))
