from hypothesis import given
from hypothesis import strategies as st

from tunesmith.records.sampling import fixed_sample

SIZES, SEEDS = st.integers(0, 40), st.integers(0, 2**32)


@given(st.lists(st.integers(), max_size=30), SIZES, SEEDS)
def test_a_sample_is_the_same_every_time_and_keeps_the_order_of_the_records(
    values: list[int], size: int, seed: int
) -> None:
    items = list(enumerate(values))
    sample = fixed_sample(items, size, seed)
    assert list(sample) == sorted(set(sample))
    assert set(sample) <= set(items)
    assert len(sample) == min(size, len(items))
    assert list(fixed_sample(items, size, seed)) == list(sample)


def test_another_seed_chooses_others() -> None:
    chosen = {tuple(fixed_sample(range(1000), 10, seed)) for seed in range(20)}
    assert len(chosen) == 20


def test_every_record_can_be_chosen_and_not_only_the_first_ones() -> None:
    chosen = [one for seed in range(300) for one in fixed_sample(range(10), 3, seed)]
    assert all(50 < chosen.count(one) < 130 for one in range(10))


def test_without_a_size_all_records_are_taken_and_none_is_read() -> None:
    class Unread(list[int]):
        def __getitem__(self, index: object) -> int:
            raise AssertionError("a record was read")

    items = Unread(range(5))
    assert fixed_sample(items, None, 0) is items
    assert fixed_sample(items, 5, 0) is items
