import numpy as np
import pytest

from tunesmith.batching.sampler import epoch_order, steps_per_epoch
from tunesmith.errors import DataError


def test_every_epoch_sees_every_example_once_in_another_order() -> None:
    first, second = epoch_order(100, seed=1, epoch=0), epoch_order(100, seed=1, epoch=1)
    assert sorted(first) == sorted(second) == list(range(100))
    assert not np.array_equal(first, second)


def test_the_same_seed_gives_the_same_order_and_another_seed_another() -> None:
    assert np.array_equal(epoch_order(50, 3, 2), epoch_order(50, 3, 2))
    assert not np.array_equal(epoch_order(50, 3, 2), epoch_order(50, 4, 2))


def test_sorted_by_a_field_equal_values_stay_shuffled() -> None:
    stages = [2, 1] * 50
    order = epoch_order(100, seed=1, epoch=0, sort_by=stages)
    assert [stages[index] for index in order] == [1] * 50 + [2] * 50
    assert list(order[:50]) != sorted(order[:50])


def test_a_field_of_mixed_kinds_cannot_be_sorted_by_and_the_error_says_so() -> None:
    with pytest.raises(DataError, match="of kinds int, str"):
        epoch_order(2, seed=1, epoch=0, sort_by=[1, "two"])


def test_the_last_update_of_an_epoch_may_be_smaller() -> None:
    assert steps_per_epoch(9, 4) == 3
    assert steps_per_epoch(8, 4) == 2


def test_objects_belong_together_in_whatever_order_they_name_their_members() -> None:
    values = [{"a": 1, "b": [2]}, {"a": 2, "b": [2]}, {"b": [2], "a": 1}]
    for seed in range(20):
        order = epoch_order(3, seed, epoch=0, group_by=values).tolist()
        assert order[1] != 1


def test_what_belongs_together_stays_together_and_is_shuffled_as_groups_and_within() -> None:
    groups = [index // 5 for index in range(50)]
    orders = [epoch_order(50, seed=1, epoch=epoch, group_by=groups) for epoch in (0, 1)]
    for order in orders:
        assert sorted(order) == list(range(50))
        runs = [groups[index] for index in order]
        assert [runs[start : start + 5] for start in range(0, 50, 5)] == [[run] * 5 for run in runs[::5]]
    assert [groups[index] for index in orders[0]] != [groups[index] for index in orders[1]]
    assert orders[0][:5].tolist() != sorted(orders[0][:5])
