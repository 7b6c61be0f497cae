"""Where blocks of short segments stand, and which heads the kernels for them take."""

from __future__ import annotations

import pytest
import torch

from tunesmith.batching.batch import Segments
from tunesmith.kernels.attention import short


@pytest.mark.parametrize("lengths", [[1], [63, 64, 65, 130], [5] * 40, [300, 1, 1, 129, 64, 7]])
@pytest.mark.parametrize("size", [16, 64])
def test_every_token_stands_in_one_block_of_its_own_segment(lengths: list[int], size: int) -> None:
    segments = Segments.end_to_end(lengths)
    seen = []
    for start, length, offset in short.query_blocks(segments, size).tolist():
        assert (start, length) in zip(segments.starts.tolist(), lengths, strict=True)
        assert offset % size == 0
        seen += range(start + offset, start + min(offset + size, length))
    assert sorted(seen) == list(range(sum(lengths)))


def test_what_takes_longest_begins_first_and_blocks_of_a_segment_stay_together() -> None:
    found = short.query_blocks(Segments.end_to_end([3, 130, 3, 70]), 64)
    assert found.tolist() == [[3, 130, 0], [3, 130, 64], [3, 130, 128], [136, 70, 0], [136, 70, 64], [0, 3, 0],
                              [133, 3, 0]]  # fmt: skip
    assert found.dtype == torch.int32


def test_only_narrow_heads_in_16_bit_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(short, "_has_triton", lambda: True)
    assert short.supports(128, torch.bfloat16)
    assert short.supports(80, torch.float16)
    assert not short.supports(256, torch.bfloat16)
    assert not short.supports(128, torch.float32)
    monkeypatch.setattr(short, "_has_triton", lambda: False)
    assert not short.supports(128, torch.bfloat16)
