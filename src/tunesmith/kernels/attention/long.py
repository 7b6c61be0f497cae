"""Attention over packed micro-batches with long segments: those one by one by cuDNN, the others by `short`.

On a Hopper GPU cuDNN takes half the time of flash attention for long sequences. It plans anew for every length, for
tens of milliseconds, so lengths are rounded up to eight steps per power of two: a segment is taken together with rows
behind it. No token attends to a later one, so these rows change nothing; their outputs are dropped and their gradients
are zero.
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
from tunesmith.kernels.attention.short import BLOCK, Blocks, Keys, Queries, allocate_grads, query_blocks

MIN_LENGTH = 2048
"""Tokens of a segment from which on it is taken by itself: with shorter ones a call costs what it saves. On an H200
lines of 2,048, 2,800, 4,096 and 8,192 tokens a segment take 1.02, 0.81, 0.70 and 0.61 times as long as by flash
attention."""


class LongSegment(NamedTuple):
    """A long segment."""

    start: int
    size: int

    @property
    def filled(self) -> int:
        """Tokens that are taken: a multiple of a sixteenth of the next power of two.

        >>> [LongSegment(0, size).filled for size in (2048, 2049, 5000)]
        [2048, 2304, 5120]
        """
        step = 1 << max((self.size - 1).bit_length() - 4, 0)
        return -(-self.size // step) * step

    def rows(self, line: Float[Tensor, "1 head token width"]) -> Float[Tensor, "1 head filled width"]:
        """Those of the segment and what stands behind it, zeros where the line ends."""
        missing = self.start + self.filled - line.shape[2]
        rows = line[:, :, self.start : self.start + self.filled]
        if missing <= 0:
            return rows
        return functional.pad(rows.transpose(1, 2), (0, 0, 0, 0, 0, missing)).transpose(1, 2)

    def put(
        self, rows: Float[Tensor, "1 head filled width"], line: Float[Tensor, "token head width"]
    ) -> None:
        """Write the segment's rows, and no more, to their place."""
        line[self.start : self.start + self.size] = rows[0].transpose(0, 1)[: self.size]


class MixedLine(NamedTuple):
    """A line with long segments."""

    long: tuple[LongSegment, ...]
    blocks: Blocks | None
    """Of all others."""
    max_short_length: int
    """Tokens of the longest of those."""


def line_of(segments: Segments) -> MixedLine | None:
    """The line's segments by their lengths; None if none is long."""
    sizes, starts = segments.lengths.tolist(), segments.starts.tolist()
    long = tuple(
        LongSegment(start, size) for start, size in zip(starts, sizes, strict=True) if size >= MIN_LENGTH
    )
    if not long:
        return None
    max_short_length = max((size for size in sizes if size < MIN_LENGTH), default=0)
    blocks = query_blocks(segments)
    return MixedLine(long, blocks[blocks[:, 1] < MIN_LENGTH] if max_short_length else None, max_short_length)


def supports(width: int, dtype: torch.dtype, device: torch.device) -> bool:
    """True if heads of this width and precision can be taken there."""
    return short.supports(width, dtype) and width % 8 == 0 and _is_fast(device)


@lru_cache
def _is_fast(device: torch.device) -> bool:
    # Older GPUs have no faster kernels in cuDNN than elsewhere.
    if device.type != "cuda" or torch.cuda.get_device_capability(device)[0] < 9:
        return False
    return torch.backends.cudnn.is_available() and (torch.backends.cudnn.version() or 0) >= 90100


def long_attention(
    query: Queries, key: Keys, value: Keys, line: MixedLine, scale: float
) -> Float[Tensor, "1 token head width"]:
    """softmax(q k scale) v within each segment (Vaswani et al. 2017, section 3.2.1), of what a token has before it."""
    return _LongAttention.apply(query, key, value, line, scale)  # type: ignore[no-any-return]


class _LongAttention(torch.autograd.Function):
    """Keeps what attention over short segments keeps, and cuDNN's state of each long segment."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, line: MixedLine, scale: float) -> Tensor:
        query, key, value = (x if x.stride(3) == 1 else x.contiguous() for x in (query, key, value))
        _, heads, tokens, width = query.shape
        out, lse = query.new_empty(tokens, heads, width), None
        if line.blocks is not None:
            from tunesmith.kernels.attention import short_triton

            _, lse = short_triton.forward(query, key, value, line.blocks, scale, True, BLOCK, out)
        kept = []
        for segment in line.long:
            segment_out, *state = _cudnn_forward([segment.rows(x) for x in (query, key, value)], scale)
            segment.put(segment_out, out)
            kept.append(state)
        ctx.save_for_backward(query, key, value, out, lse)
        ctx.line, ctx.scale, ctx.kept = line, scale, kept
        return out[None]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, out, lse = ctx.saved_tensors
        line: MixedLine = ctx.line
        grad_output = grad_outputs[0][0]
        grads = allocate_grads(out, key.shape[1])
        if line.blocks is not None:
            from tunesmith.kernels.attention import short_triton

            saved = short_triton.Saved(query, key, value, out, lse)
            short_triton.backward(
                grad_output, saved, line.blocks, line.max_short_length, ctx.scale, True, BLOCK, grads
            )
        for segment, state in zip(line.long, ctx.kept, strict=True):
            padded = grad_output.new_zeros(segment.filled, *grad_output.shape[1:])
            padded[: segment.size] = grad_output[segment.start :][: segment.size]
            inputs = [segment.rows(x) for x in (query, key, value, out[None].transpose(1, 2))]
            segment_grads = _cudnn_backward(padded[None].transpose(1, 2), inputs, state, ctx.scale)
            for grad, segment_grad in zip(grads, segment_grads, strict=True):
                segment.put(segment_grad, grad)
        return (*(grad.transpose(0, 1)[None] for grad in grads), None, None)


def _cudnn_forward(inputs: list[Tensor], scale: float) -> list[Any]:
    """The output for queries, keys and values of one segment, and what the backward pass needs."""
    *results, _ = torch.ops.aten._scaled_dot_product_cudnn_attention.default(
        *inputs, None, True, 0.0, True, False, scale=scale
    )
    return results


def _cudnn_backward(
    grad_output: Tensor, inputs: list[Tensor], state: list[Any], scale: float
) -> tuple[Tensor, ...]:
    """Gradients of queries, keys and values; `inputs` are those and the output."""
    lse, ends, key_ends, max_length, max_keys, seed, offset = state
    return torch.ops.aten._scaled_dot_product_cudnn_attention_backward.default(  # type: ignore[no-any-return]
        grad_output, *inputs, lse, seed, offset, None, ends, key_ends, max_length, max_keys, 0.0, True,
        scale=scale,
    )  # fmt: skip
