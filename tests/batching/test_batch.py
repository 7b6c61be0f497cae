from itertools import accumulate

import torch
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.batching.batch import Batch, Segments

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=12)


@given(LENGTHS)
def test_boundaries_are_cumulative_lengths_as_variable_length_kernels_want_them(lengths: list[int]) -> None:
    boundaries = Segments.end_to_end(lengths).boundaries
    assert boundaries.tolist() == [0, *accumulate(lengths)]
    assert boundaries.dtype == torch.int32


@given(LENGTHS)
def test_segments_laid_end_to_end_leave_no_token_out_and_share_none(lengths: list[int]) -> None:
    segments = Segments.end_to_end(lengths)
    tokens = [
        token
        for start, length in zip(segments.starts.tolist(), segments.lengths.tolist(), strict=True)
        for token in range(start, start + length)
    ]
    assert tokens == list(range(sum(lengths)))
    assert segments.max_length == max(lengths)


def test_a_segment_continues_nothing_unless_that_is_said() -> None:
    assert Segments.end_to_end([3, 1, 2]).continues.tolist() == [-1, -1, -1]
    continuing = Segments.end_to_end([3, 1, 2], [-1, 0, 0])
    assert continuing.continues.tolist() == [-1, 0, 0]
    assert continuing.starts.tolist() == [0, 3, 4]


def test_where_segments_stand_is_known_without_asking_the_gpu() -> None:
    segments = Segments.end_to_end([3, 1], [-1, 0])
    for known in (segments.starts, segments.lengths, segments.continues, segments.boundaries):
        assert known.device.type == "cpu"
        assert known.dtype == torch.int32


def test_only_trained_tokens_count_as_trained() -> None:
    batch = Batch(
        tokens=torch.arange(6),
        positions=torch.arange(6)[None],
        predicting=torch.tensor([3, 4]),
        targets=torch.tensor([4, 5]),
        segments=Segments.end_to_end([6]),
    )
    assert batch.num_trained == 2
