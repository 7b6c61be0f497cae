"""Rows spread out beside indexing, and gradients beside autograd's."""

from __future__ import annotations

import torch

from tunesmith.batching.batch import Segments
from tunesmith.kernels.attention.prefix_kv import PrefixGather

SEGMENTS = Segments.end_to_end([3, 2, 4, 5, 1, 2], [-1, 0, 0, -1, 3, -1])
WANTED = [0, 1, 2, 0, 1, 2, 3, 4, 0, 1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 9, 10, 11, 12, 13, 14, 15, 16]


def test_every_segment_has_what_it_continues_before_it() -> None:
    rows = torch.arange(17.0)[:, None]
    assert PrefixGather.for_segments(SEGMENTS, torch.device("cpu"))(rows).squeeze(1).tolist() == WANTED


def test_gradients_are_those_of_plain_indexing() -> None:
    torch.manual_seed(0)
    ours, plain = (torch.randn(17, 2, 3, dtype=torch.double).requires_grad_() for _ in range(2))
    gradient = torch.randn(len(WANTED), 2, 3, dtype=torch.double)
    PrefixGather.for_segments(SEGMENTS, torch.device("cpu"))(ours).backward(gradient)
    plain[torch.tensor(WANTED)].backward(gradient)
    assert ours.grad is not None
    torch.testing.assert_close(ours.grad, plain.grad)
