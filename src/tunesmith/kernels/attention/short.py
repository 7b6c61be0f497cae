"""Attention within the short segments of a packed micro-batch (kernels for a GPU in `short_triton`).

Variable-length kernels made for long texts spend most of their time on what short segments do not need. Here queries
are taken in blocks of 64 rows of one segment, and a table lists all blocks, so that every program of a kernel has work.
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
"""Tokens of a block: the least that a product of the tensor cores fills."""
MAX_LENGTH = 1024
"""Tokens of the longest segment. Of longer ones a block reads many others, and kernels that fetch ahead win: on an H200
lines of 600 and 1,000 tokens a segment take 0.82 and 0.94 times as long as by flash attention, of 1,500 1.01 times."""
MAX_HEAD_DIM = 128
"""Width of a head: of wider ones, the sums that a program holds do not fit its registers."""

Queries = Float[Tensor, "1 head token width"]
Keys = Float[Tensor, "1 kv_head token width"]
Blocks = Int32[Tensor, "block 3"]
"""For every block its segment's first token, the segment's length, and how far into it the block begins."""
Grads = tuple[Tensor, Tensor, Tensor]
"""Of queries, keys and values, (token, head, width)."""


def query_blocks(segments: Segments, size: int = BLOCK) -> Blocks:
    """The blocks of all segments, those of longer segments first: what takes longest begins first.

    >>> query_blocks(Segments.end_to_end([3, 70])).tolist()
    [[3, 70, 0], [3, 70, 64], [0, 3, 0]]
    """
    lengths, order = segments.lengths.long().sort(descending=True, stable=True)
    counts = (lengths + size - 1) // size
    owners = torch.repeat_interleave(counts)
    within = torch.arange(len(owners)) - (counts.cumsum(0) - counts)[owners]
    columns = segments.starts[order][owners], lengths[owners], within * size
    return torch.stack([column.to(torch.int32) for column in columns], dim=1)


def supports(width: int, dtype: torch.dtype) -> bool:
    """True if the kernels support heads of this width and dtype."""
    return width <= MAX_HEAD_DIM and dtype in (torch.bfloat16, torch.float16) and _has_triton()


@lru_cache(maxsize=1)
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


def short_attention(
    query: Queries, key: Keys, value: Keys, blocks: Blocks, max_length: int, scale: float, causal: bool
) -> Float[Tensor, "1 token head width"]:
    """softmax(q k scale) v within each segment (Vaswani et al. 2017, section 3.2.1); the blocks cover all tokens, and
    `max_length` is the length of the longest segment. Query heads that follow each other share a head of keys."""
    return _ShortAttention.apply(query, key, value, blocks, max_length, scale, causal)  # type: ignore[no-any-return]


def allocate_grads(out: Float[Tensor, "token head width"], num_kv_heads: int) -> Grads:
    """Uninitialised gradients of queries, and of keys and values with `num_kv_heads` heads."""
    grad_key, grad_value = (out.new_empty(len(out), num_kv_heads, out.shape[2]) for _ in range(2))
    return torch.empty_like(out), grad_key, grad_value


class _ShortAttention(torch.autograd.Function):
    """Keeps queries, keys, values, the output, and a number for each head of a token."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        blocks: Tensor,
        max_length: int,
        scale: float,
        causal: bool,
    ) -> Tensor:
        from tunesmith.kernels.attention import short_triton

        query, key, value = (x if x.stride(3) == 1 else x.contiguous() for x in (query, key, value))
        out, lse = short_triton.forward(query, key, value, blocks, scale, causal, BLOCK)
        ctx.save_for_backward(query, key, value, out, lse)
        ctx.blocks, ctx.max_length, ctx.scale, ctx.causal = blocks, max_length, scale, causal
        return out[None]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        from tunesmith.kernels.attention import short_triton

        (grad_output,) = grad_outputs
        saved = short_triton.Saved(*ctx.saved_tensors)
        grads = allocate_grads(saved.out, saved.key.shape[1])
        short_triton.backward(
            grad_output[0], saved, ctx.blocks, ctx.max_length, ctx.scale, ctx.causal, BLOCK, grads
        )
        return (*(grad.transpose(0, 1)[None] for grad in grads), None, None, None, None)
