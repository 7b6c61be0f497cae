"""Attention over a line with long segments: those one by one by cuDNN's kernels, which on a Hopper GPU take half the
time of flash attention's for them, and what is shorter by ours.

cuDNN plans anew for every length, for tens of milliseconds. So lengths come in steps: a segment is taken together with
rows that stand behind it. As no token sees a later one, they change nothing, and what they give is left out.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from tunesmith.batching.batch import Segments
from tunesmith.kernels.attention import short
from tunesmith.kernels.attention.short import Blocks, Keys, Queries, blocks_of, room_for_gradients

LEAST = 2048
"""Tokens of a segment from which on it is taken by itself: with shorter ones a call costs what it saves. On an H200
lines of 2,048, 2,800, 4,096 and 8,192 tokens a segment take 1.02, 0.81, 0.70 and 0.61 times as long as by flash
attention."""


class Long(NamedTuple):
    """A long segment."""

    start: int
    size: int

    @property
    def filled(self) -> int:
        """Tokens that are taken: a multiple of a sixteenth of the next power of two.

        >>> [Long(0, size).filled for size in (2048, 2049, 5000)]
        [2048, 2304, 5120]
        """
        step = 1 << max((self.size - 1).bit_length() - 4, 0)
        return -(-self.size // step) * step

    def rows(self, line: Float[Tensor, "1 head token width"]) -> Float[Tensor, "1 head filled width"]:
        """Those of the segment and what stands behind it, zeros where the line ends."""
        missing = self.start + self.filled - line.shape[2]
        found = line[:, :, self.start : self.start + self.filled]
        if missing <= 0:
            return found
        return functional.pad(found.transpose(1, 2), (0, 0, 0, 0, 0, missing)).transpose(1, 2)

    def put(
        self, found: Float[Tensor, "1 head filled width"], line: Float[Tensor, "token head width"]
    ) -> None:
        """Write the segment's rows, and no more, to their place."""
        line[self.start : self.start + self.size] = found[0].transpose(0, 1)[: self.size]


class Line(NamedTuple):
    """A line with long segments."""

    long: tuple[Long, ...]
    blocks: Blocks | None
    """Of all others."""
    longest: int
    """Tokens of the longest of those."""


def line_of(segments: Segments) -> Line | None:
    """The line's segments by their lengths; None if none is long."""
    sizes, starts = segments.lengths.tolist(), segments.starts.tolist()
    long = tuple(Long(start, size) for start, size in zip(starts, sizes, strict=True) if size >= LEAST)
    if not long:
        return None
    longest = max((size for size in sizes if size < LEAST), default=0)
    blocks = blocks_of(segments)
    return Line(long, blocks[blocks[:, 1] < LEAST] if longest else None, longest)


def takes(width: int, dtype: torch.dtype, device: torch.device) -> bool:
    """True if heads of this width and precision can be taken there."""
    return short.takes(width, dtype) and width % 8 == 0 and _is_fast(device)


@lru_cache
def _is_fast(device: torch.device) -> bool:
    # Older GPUs have no faster kernels in cuDNN than elsewhere.
    if device.type != "cuda" or torch.cuda.get_device_capability(device)[0] < 9:
        return False
    return torch.backends.cudnn.is_available() and (torch.backends.cudnn.version() or 0) >= 90100


def attended(
    query: Queries, key: Keys, value: Keys, line: Line, scale: float
) -> Float[Tensor, "1 token head width"]:
    """softmax(q k scale) v within each segment (Vaswani et al. 2017, section 3.2.1), of what a token has before it."""
    return _Attended.apply(query, key, value, line, scale)  # type: ignore[no-any-return]


class _Attended(torch.autograd.Function):
    """Keeps what the kernels for short segments do."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, line: Line, scale: float) -> Tensor:
        query, key, value = (one if one.stride(3) == 1 else one.contiguous() for one in (query, key, value))
        _, heads, tokens, width = query.shape
        out, sums = query.new_empty(tokens, heads, width), None
        if line.blocks is not None:
            from tunesmith.kernels.attention import short_triton

            _, sums = short_triton.forward(query, key, value, line.blocks, scale, True, out)
        kept = []
        for one in line.long:
            found, *more = _of_one([one.rows(part) for part in (query, key, value)], scale)
            one.put(found, out)
            kept.append(more)
        ctx.save_for_backward(query, key, value, out, sums)
        ctx.line, ctx.scale, ctx.kept = line, scale, kept
        return out[None]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, out, sums = ctx.saved_tensors
        line: Line = ctx.line
        gradient = gradients[0][0]
        found = room_for_gradients(out, key.shape[1])
        if line.blocks is not None:
            from tunesmith.kernels.attention import short_triton

            saved = short_triton.Saved(query, key, value, out, sums)
            short_triton.backward(gradient, saved, line.blocks, line.longest, ctx.scale, True, found)
        for one, kept in zip(line.long, ctx.kept, strict=True):
            arriving = gradient.new_zeros(one.filled, *gradient.shape[1:])
            arriving[: one.size] = gradient[one.start :][: one.size]
            given = [one.rows(part) for part in (query, key, value, out[None].transpose(1, 2))]
            of_each = _through_one(arriving[None].transpose(1, 2), given, kept, ctx.scale)
            for place, part in zip(found, of_each, strict=True):
                one.put(part, place)
        return (*(one.transpose(0, 1)[None] for one in found), None, None)


def _of_one(given: list[Tensor], scale: float) -> list[Any]:
    """What comes out for queries, keys and values of one segment, and what the backward pass needs."""
    *found, _ = torch.ops.aten._scaled_dot_product_cudnn_attention.default(
        *given, None, True, 0.0, True, False, scale=scale
    )
    return found


def _through_one(gradient: Tensor, given: list[Tensor], kept: list[Any], scale: float) -> tuple[Tensor, ...]:
    """Gradients of queries, keys and values; `given` are those and what came out."""
    sums, ends, key_ends, longest, longest_keys, seed, offset = kept
    return torch.ops.aten._scaled_dot_product_cudnn_attention_backward.default(  # type: ignore[no-any-return]
        gradient, *given, sums, seed, offset, None, ends, key_ends, longest, longest_keys, 0.0, True,
        scale=scale,
    )  # fmt: skip
