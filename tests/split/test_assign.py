from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.errors import DataError, ExperimentError
from tunesmith.split.assign import Amount, Choice, wanted
from tunesmith.split.sides import Side


def choose(content, test=0, validation=0, cluster=None, stratum=None, seed=17):
    content = np.asarray(content, np.uint64)
    cluster = np.arange(len(content)) if cluster is None else np.asarray(cluster)
    stratum = np.zeros(len(content), int) if stratum is None else np.asarray(stratum)
    amounts = [
        wanted(Side.TEST, "holdout", test, 10**6),
        wanted(Side.VALIDATION, "validation", validation, 10**6),
    ]
    amounts = [replace(one, number=round(one.share * len(content))) if one.share else one for one in amounts]
    return Choice(content, cluster, stratum, seed).sides(amounts)


def count(sides, side):
    return int((sides == side).sum())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 5))
def test_single_records_give_exactly_the_numbers_asked_for(test, validation, seed):
    sides = choose(range(100), test, validation, seed=seed)
    assert (count(sides, Side.TEST), count(sides, Side.VALIDATION)) == (test, validation)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=40, max_size=120), st.integers(1, 12))
def test_no_cluster_is_ever_divided_and_the_number_is_as_near_as_the_largest_cluster_allows(cluster, test):
    try:
        sides = choose(range(len(cluster)), test, test, cluster)
    except DataError:
        assert np.bincount(cluster).max() > test / 2
        return
    assert all(len(set(sides[np.asarray(cluster) == one])) == 1 for one in set(cluster))
    assert abs(count(sides, Side.TEST) - test) <= np.bincount(cluster).max()


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(60)))
def test_the_order_of_rows_does_not_matter(order):
    stratum = np.arange(60) % 3
    sides = choose(range(60), 10, 5, stratum=stratum)
    assert choose(order, 10, 5, stratum=stratum[list(order)]).tolist() == sides[list(order)].tolist()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("cluster_size", [1, 6])
def test_a_record_that_added_records_move_was_or_is_an_adjusted_one(seed, cluster_size):
    chance = np.random.default_rng(seed)
    stratum, cluster = chance.integers(0, 4, 150), np.arange(150) // cluster_size

    def sides_and_adjusted(number):
        amounts = [
            replace(wanted(side, "holdout", share, number), number=round(share * number))
            for side, share in ((Side.TEST, 0.2), (Side.VALIDATION, 0.1))
        ]
        choice = Choice(np.arange(number, dtype=np.uint64), cluster[:number], stratum[:number], seed)
        sides = choice.sides(amounts)
        return sides, set(choice.adjusted(sides, amounts).tolist())

    before, adjusted = sides_and_adjusted(120)
    after, adjusted_after = sides_and_adjusted(150)
    moved = set(np.flatnonzero(before != after[:120]).tolist())
    assert moved <= adjusted | adjusted_after


@pytest.mark.parametrize("seed", range(5))
def test_of_a_share_added_and_removed_records_leave_all_others_where_they_were(seed):
    before = choose(range(3000), 0.1, 0.05, seed=seed)
    assert choose(range(3300), 0.1, 0.05, seed=seed)[:3000].tolist() == before.tolist()
    assert choose(range(100, 3000), 0.1, 0.05, seed=seed).tolist() == before[100:].tolist()
    assert abs(count(before, Side.TEST) - 300) < 60


def test_of_a_number_new_rows_move_few_of_the_old_ones():
    before = choose(range(1000), 100, 50)
    after = choose(range(1050), 105, 52)[:1000]
    assert (before != after).sum() < 20


def test_a_cluster_that_grows_at_its_end_stays_where_it_was():
    before = choose(range(2000), 0.1, 0.05)
    grown = choose(range(2200), 0.1, 0.05, cluster=[*range(2000), *range(200)])
    assert grown[:2000].tolist() == before.tolist()
    assert grown[2000:].tolist() == before[:200].tolist()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(0, 5))
def test_of_few_records_a_share_is_met_to_within_a_fifth_or_one_record(num, seed):
    sides = choose(range(num), 0.2, 0, seed=seed)
    assert abs(count(sides, Side.TEST) - 0.2 * num) <= max(1, 0.04 * num) + 0.5


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=40, max_size=200), st.integers(0, 5))
def test_of_a_share_every_stratum_has_about_that_share_and_none_is_missing(stratum, seed):
    stratum = np.unique(stratum, return_inverse=True)[1]
    sides = choose(range(len(stratum)), 0.2, 0, stratum=stratum, seed=seed)
    for one in range(stratum.max() + 1):
        asked = 0.2 * (stratum == one).sum()
        assert abs(count(sides[stratum == one], Side.TEST) - asked) <= max(1, 0.2 * asked) + 1


def test_another_seed_gives_another_choice():
    assert (choose(range(1000), 500) != choose(range(1000), 500, seed=18)).sum() > 300


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=40, max_size=200), st.integers(1, 10), st.integers(0, 10))
def test_every_stratum_keeps_its_share_to_within_one_record(stratum, test, validation):
    stratum = np.unique(stratum, return_inverse=True)[1]
    sides = choose(range(len(stratum)), test, validation, stratum=stratum)
    for side, total in ((Side.TEST, test), (Side.VALIDATION, validation)):
        assert count(sides, side) == total
        for one in set(stratum.tolist()):
            exact = total * (stratum == one).mean()
            assert abs(count(sides[stratum == one], side) - exact) < 1


def test_strata_of_one_record_each_still_give_the_number_asked_for():
    sides = choose(range(200), 20, stratum=np.arange(200))
    assert count(sides, Side.TEST) == 20
    assert sides[:20].max() != sides[:20].min() or sides[20:40].max() != sides[20:40].min()


def test_where_groups_fill_one_stratum_the_total_is_kept_from_the_others():
    cluster, stratum = [0] * 10 + list(range(1, 11)), [0] * 10 + [1] * 10
    assert count(choose(range(20), 5, cluster=cluster, stratum=stratum), Side.TEST) == 5


def test_a_cluster_too_large_for_the_hold_out_says_what_to_set():
    message = (
        "holdout: 10 records are wanted, but 2 is the nearest that can be had: the largest cluster .* has 98"
    )
    with pytest.raises(DataError, match=message):
        choose(range(100), 10, cluster=[0] * 98 + [1, 2])


@pytest.mark.parametrize(
    ("amount", "number"), [(0.0, 0), (0.1, 10), (0.001, 1), (0.999, 100), (1.0, 1), (99.0, 99)]
)
def test_amounts_below_one_are_shares_and_others_numbers(amount, number):
    assert wanted(Side.TEST, "holdout", amount, 100) == Amount(
        Side.TEST, number, amount if amount < 1 else None, "holdout"
    )


def test_amounts_that_cannot_be_had_are_told():
    with pytest.raises(
        ExperimentError, match=r"data.split.holdout: 1.5 is neither a share .* nor a whole number"
    ):
        wanted(Side.TEST, "data.split.holdout", 1.5, 100)
    with pytest.raises(
        DataError, match="holdout: 100 records are wanted, but there are 100, and some must be left"
    ):
        wanted(Side.TEST, "data.split.holdout", 100.0, 100)
