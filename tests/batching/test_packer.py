from hypothesis import given
from hypothesis import strategies as st

from tunesmith.batching.packer import pack

LENGTHS = st.lists(st.integers(1, 50), max_size=60)


@given(LENGTHS, st.integers(1, 60))
def test_every_example_is_in_exactly_one_bin_and_no_bin_is_overfull(
    lengths: list[int], capacity: int
) -> None:
    bins = pack(lengths, capacity)
    assert sorted(index for members in bins for index in members) == list(range(len(lengths)))
    for members in bins:
        assert len(members) == 1 or sum(lengths[index] for index in members) <= capacity


@given(LENGTHS, st.integers(50, 60))
def test_little_is_wasted(lengths: list[int], capacity: int) -> None:
    # Best-fit decreasing needs at most 11/9 of the fewest bins, and one more (Johnson 1974).
    fewest = -(-sum(lengths) // capacity)
    loose = sum(1 for length in lengths if length > capacity / 2)
    assert len(pack(lengths, capacity)) <= 11 / 9 * max(fewest, loose) * 1.5 + 1


def test_an_example_longer_than_the_capacity_is_a_bin_of_its_own_and_is_not_cut() -> None:
    assert pack([3, 100, 4], capacity=8) == [[0, 2], [1]]


def test_equal_input_gives_equal_bins() -> None:
    lengths = [7, 3, 3, 5, 2, 8, 1, 7]
    assert pack(lengths, 10) == pack(lengths, 10)
