"""LongSegment segments one by one: where they stand, and that nothing behind a segment reaches it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tunesmith.batching.batch import Segments
from tunesmith.kernels.attention import long
from tunesmith.kernels.attention.long import (
    MIN_LENGTH,
    LongSegment,
    MixedLine,
    line_of,
    long_attention,
    supports,
)

HEADS, KEPT, WIDTH = 4, 2, 16
on_gpu = pytest.mark.skipif(
    not supports(128, torch.bfloat16, torch.device("cuda" if torch.cuda.is_available() else "cpu")),
    reason="cuDNN's kernels for long segments need a Hopper GPU",
)


def test_long_segments_are_told_from_others() -> None:
    line = line_of(Segments.end_to_end([5, MIN_LENGTH, 70, MIN_LENGTH + 1]))
    assert line is not None
    assert [(one.start, one.size) for one in line.long] == [
        (5, MIN_LENGTH),
        (5 + MIN_LENGTH + 70, MIN_LENGTH + 1),
    ]
    assert line.max_short_length == 70
    assert line.blocks is not None
    assert line.blocks.tolist() == [[5 + MIN_LENGTH, 70, 0], [5 + MIN_LENGTH, 70, 64], [0, 5, 0]]
    assert line_of(Segments.end_to_end([5, MIN_LENGTH - 1])) is None
    alone = line_of(Segments.end_to_end([MIN_LENGTH]))
    assert alone is not None
    assert alone.blocks is None


def test_lengths_come_in_steps_of_no_more_than_an_eighth() -> None:
    filled = {LongSegment(0, size).filled for size in range(MIN_LENGTH + 1, 4 * MIN_LENGTH + 1)}
    assert len(filled) == 16
    assert all(
        0 <= LongSegment(0, size).filled - size < size / 8 for size in range(MIN_LENGTH, 3 * MIN_LENGTH)
    )


def plain(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    return functional.scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=scale, enable_gqa=True
    )


def by_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let PyTorch's own attention stand for cuDNN's."""

    def through(gradient: Tensor, given: list[Tensor], _: Any, scale: float) -> tuple[Tensor, ...]:
        with torch.enable_grad():
            own = [one.detach().requires_grad_() for one in given[:3]]
            return torch.autograd.grad(plain(*own, scale), own, gradient)  # type: ignore[call-arg]

    monkeypatch.setattr(long, "_cudnn_forward", lambda given, scale: [plain(*given, scale)])  # type: ignore[call-arg]
    monkeypatch.setattr(long, "_cudnn_backward", through)


def test_each_segment_sees_itself_alone_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    by_pytorch(monkeypatch)
    torch.manual_seed(0)
    sizes = [67, 66, 101]
    starts = [0, 67, 133]
    rows = torch.randn(sum(sizes), (HEADS + 2 * KEPT) * WIDTH)
    line = MixedLine(tuple(LongSegment(*one) for one in zip(starts, sizes, strict=True)), None, 0)
    assert [one.filled for one in line.long] == [72, 72, 104]
    found, wanted = [], []
    for is_ours in (True, False):
        own = rows.clone().requires_grad_()
        query, key, value = (
            part.unflatten(1, (-1, WIDTH)).transpose(0, 1)[None]
            for part in own.split([HEADS * WIDTH, KEPT * WIDTH, KEPT * WIDTH], dim=1)
        )
        if is_ours:
            out = long_attention(query, key, value, line, 0.3)
        else:
            parts = zip(*(one.split(sizes, dim=2) for one in (query, key, value)), strict=True)
            out = torch.cat([plain(*part, 0.3) for part in parts], dim=2).transpose(1, 2)  # type: ignore[call-arg]
        torch.manual_seed(1)
        (gradient,) = torch.autograd.grad(out, own, torch.randn(out.shape))
        (found if is_ours else wanted).extend([out.detach(), gradient])
    for one, right in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, right, rtol=1e-4, atol=1e-5)


@on_gpu
@pytest.mark.parametrize(
    "lengths", [[MIN_LENGTH + 100, 700, 3, 5000], [MIN_LENGTH], [600, 2 * MIN_LENGTH + 1, 40]]
)
@pytest.mark.parametrize(("heads", "kept", "width"), [(28, 4, 128), (16, 8, 128), (14, 2, 64)])
def test_cudnns_kernels_give_what_flash_attention_gives(
    lengths: list[int], heads: int, kept: int, width: int
) -> None:
    torch.manual_seed(0)
    tokens, sizes = sum(lengths), [heads * width, kept * width, kept * width]
    rows = torch.randn(tokens, sum(sizes), device="cuda", dtype=torch.bfloat16)
    gradient = torch.randn(1, tokens, heads, width, device="cuda", dtype=torch.bfloat16)
    segments = Segments.end_to_end(lengths)
    line = line_of(segments)
    assert line is not None
    if line.blocks is not None:
        line = line._replace(blocks=line.blocks.cuda())
    ends = segments.boundaries.cuda()
    results = []
    for is_ours in (True, False):
        own = rows.clone().requires_grad_()
        each = [part.unflatten(1, (-1, width)) for part in own.split(sizes, dim=1)]
        if is_ours:
            out = long_attention(*(part.transpose(0, 1)[None] for part in each), line, width**-0.5)  # type: ignore[call-arg, arg-type]
        else:
            out = torch.ops.aten._flash_attention_forward.default(
                *each, ends, ends, max(lengths), max(lengths), 0.0, True, False, scale=width**-0.5
            )[0][None]
        results.append((out.detach(), torch.autograd.grad(out, own, gradient)[0]))
    for one, right in zip(*results, strict=True):
        error = (one.float() - right.float()).norm() / right.float().norm()
        assert error < 0.01, error
