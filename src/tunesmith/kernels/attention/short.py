"""Attention over a line of short segments: kernels of ours for a GPU, since those made for long texts spend most of
their time on what short ones do not need.

Queries are taken in blocks of one segment; a table says where each block stands, so that every program of a kernel has
work. Nothing is added up by several programs, so results are the same bits every time.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float, Int32
from torch import Tensor
from torch.autograd.function import once_differentiable

from tunesmith.batching.batch import Segments

BLOCK = 64
"""Tokens of a block: as many rows as a tensor core's product has at least, and short segments fill few."""
LONGEST = 1024
"""Tokens of the longest segment. Of longer ones a block reads many others, and kernels that fetch ahead win: on an H200
lines of 600 and 1,000 tokens a segment take 0.82 and 0.94 times as long as by flash attention, of 1,500 1.01 times."""
WIDEST = 128
"""Width of a head: of wider ones, the sums that a program holds do not fit its registers."""

Queries = Float[Tensor, "1 head token width"]
Keys = Float[Tensor, "1 kv_head token width"]
Blocks = Int32[Tensor, "block 3"]
"""For every block its segment's first token, the segment's length, and how far into it the block begins."""
Gradients = tuple[Tensor, Tensor, Tensor]
"""Of queries, keys and values, (token, head, width)."""


def blocks_of(segments: Segments, size: int = BLOCK) -> Blocks:
    """The blocks of all segments, those of longer segments first: what takes longest begins first.

    >>> blocks_of(Segments.end_to_end([3, 70])).tolist()
    [[3, 70, 0], [3, 70, 64], [0, 3, 0]]
    """
    lengths, order = segments.lengths.long().sort(descending=True, stable=True)
    counts = (lengths + size - 1) // size
    owners = torch.repeat_interleave(counts)
    within = torch.arange(len(owners)) - (counts.cumsum(0) - counts)[owners]
    columns = segments.starts[order][owners], lengths[owners], within * size
    return torch.stack([column.to(torch.int32) for column in columns], dim=1)


def takes(width: int, dtype: torch.dtype) -> bool:
    """True if the kernels take heads of this width and precision."""
    return width <= WIDEST and dtype in (torch.bfloat16, torch.float16) and _triton_is_there()


@lru_cache(maxsize=1)
def _triton_is_there() -> bool:
    return importlib.util.find_spec("triton") is not None


def attended(
    query: Queries, key: Keys, value: Keys, blocks: Blocks, longest: int, scale: float, causal: bool
) -> Float[Tensor, "1 token head width"]:
    """softmax(q k scale) v within each segment (Vaswani et al. 2017, section 3.2.1); the blocks cover all tokens, and
    `longest` is the length of the longest segment. Query heads that follow each other share a head of keys."""
    return _Attended.apply(query, key, value, blocks, longest, scale, causal)  # type: ignore[no-any-return]


def room_for_gradients(out: Float[Tensor, "token head width"], kept: int) -> Gradients:
    """Where gradients are to be written, for `kept` heads of keys and values."""
    of_key, of_value = (out.new_empty(len(out), kept, out.shape[2]) for _ in range(2))
    return torch.empty_like(out), of_key, of_value


class _Attended(torch.autograd.Function):
    """Keeps queries, keys, values, what comes out, and a number for each head of a token."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        blocks: Tensor,
        longest: int,
        scale: float,
        causal: bool,
    ) -> Tensor:
        from tunesmith.kernels.attention import short_triton

        query, key, value = (one if one.stride(3) == 1 else one.contiguous() for one in (query, key, value))
        out, sums = short_triton.forward(query, key, value, blocks, scale, causal)
        ctx.save_for_backward(query, key, value, out, sums)
        ctx.blocks, ctx.longest, ctx.scale, ctx.causal = blocks, longest, scale, causal
        return out[None]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        from tunesmith.kernels.attention import short_triton

        (gradient,) = gradients
        saved = short_triton.Saved(*ctx.saved_tensors)
        found = short_triton.backward(gradient[0], saved, ctx.blocks, ctx.longest, ctx.scale, ctx.causal)
        return (*(one.transpose(0, 1)[None] for one in found), None, None, None, None)
