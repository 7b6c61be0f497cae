"""Triton kernels of `short` (after Dao 2023, "FlashAttention-2", algorithms 1 and 2).

Forward, for a block of 64 queries of one segment, going over the segment's keys in blocks of 64, with the online
softmax: next to the running maximum m of each row's scores it keeps the sum l of exp(s - m) and the weighted sum of the
values, and rescales both whenever m grows. At the end out = sum / l, and lse = m + log(l) is kept for each row.

Backward, with p = exp(s - lse), dp = grad_output v^T and delta = rowsum(out * grad_output):

    grad_v = p^T grad_output        ds = p * (dp - delta)
    grad_q = scale * ds k           grad_k = scale * ds^T q

grad_k and grad_v are sums over queries, grad_q over keys. Programs for a block's keys and programs for its queries are
separate, and each sums in registers; no two programs add to the same number, so results repeat to the last bit. In a
segment of a single block the program for the keys sees all keys of each query and computes grad_q too.

Layout: queries, keys, values and grad_output are (token, head, head_dim) with any strides of tokens and heads but
contiguous columns; out and the gradients are contiguous. Within a segment, rows are counted from its first token.
Scores are kept to base 2, since exp2 is the GPU's own instruction. A tile has 64 rows, the least that four warps of a
tensor core product fill, and short segments fill few.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

_LOG2_E = tl.constexpr(1.4426950408889634)


class Saved(NamedTuple):
    """What the backward pass needs."""

    query: Tensor
    key: Tensor
    value: Tensor
    out: Tensor
    """(token, head, head_dim), contiguous."""
    lse: Tensor
    """(head, token), padded to a multiple of 16 tokens: log-sum-exp of each row of scores, to base 2."""


# The run-time checks of signatures in tests would hide the source that Triton compiles.
@triton.jit
@no_type_check
def _load_rows(matrix, rows, size, stride, width: tl.constexpr, padded: tl.constexpr):
    """Load a (rows, padded) tile of a matrix (size, width) with row stride `stride`; zeros outside of it."""
    columns = tl.arange(0, padded)
    inside = (rows < size)[:, None] & (columns < width)[None, :]
    return tl.load(matrix + rows[:, None] * stride + columns[None, :], mask=inside, other=0.0)


@triton.jit
@no_type_check
def _store_rows(matrix, rows, size, stride, values, width: tl.constexpr, padded: tl.constexpr):
    """Write a (rows, padded) tile into a matrix (size, width) with row stride `stride`."""
    columns = tl.arange(0, padded)
    inside = (rows < size)[:, None] & (columns < width)[None, :]
    address = matrix + rows[:, None] * stride + columns[None, :]
    tl.store(address, values.to(matrix.dtype.element_ty), mask=inside)


@triton.jit
@no_type_check
def _load_block(table, number):
    """Load a row of the int32 table (block, 3): segment's first token, its length, the block's offset."""
    address = table + number * 3
    return tl.load(address).to(tl.int64), tl.load(address + 1), tl.load(address + 2)


@triton.jit
@no_type_check
def _forward(
    query, key, value, out, lse, table, line, scale,
    query_row, query_head, key_row, key_head, value_row, value_head,
    heads: tl.constexpr, group: tl.constexpr, width: tl.constexpr, padded: tl.constexpr,
    block: tl.constexpr, causal: tl.constexpr,
):  # fmt: skip
    """Compute one block of queries of one head.

    Inputs: query, key and value with row and head strides; the table of blocks; `line` tokens in a row of lse; `heads`
    of queries, of which `group` share a head of keys; `width` of a head, `padded` to a power of two. Written: the
    block's rows of out (token, head, width) and of lse (head, line) in fp32.
    """
    head = tl.program_id(0) % heads
    start, size, offset = _load_block(table, tl.program_id(0) // heads)
    query += start * query_row + head * query_head
    key += start * key_row + (head // group) * key_head
    value += start * value_row + (head // group) * value_head
    rows = offset + tl.arange(0, block)
    queries = _load_rows(query, rows, size, query_row, width, padded)
    row_max = tl.full([block], float("-inf"), tl.float32)
    total = tl.zeros([block], tl.float32)
    accumulator = tl.zeros([block, padded], tl.float32)
    end = tl.minimum(offset + block, size) if causal else size
    for at in range(0, end, block):
        key_rows = at + tl.arange(0, block)
        keys = _load_rows(key, key_rows, size, key_row, width, padded)
        scores = tl.dot(queries, tl.trans(keys)) * (scale * _LOG2_E)
        visible = key_rows[None, :] <= rows[:, None] if causal else (key_rows < size)[None, :]
        scores = tl.where(visible, scores, float("-inf"))
        new_max = tl.maximum(row_max, tl.max(scores, axis=1))
        weights = tl.exp2(scores - new_max[:, None])
        rescale = tl.exp2(row_max - new_max)
        total = total * rescale + tl.sum(weights, axis=1)
        values = _load_rows(value, key_rows, size, value_row, width, padded)
        accumulator = tl.dot(weights.to(values.dtype), values, accumulator * rescale[:, None])
        row_max = new_max
    tl.store(lse + head.to(tl.int64) * line + start + rows, row_max + tl.log2(total), mask=rows < size)
    out += (start * heads + head) * width
    _store_rows(out, rows, size, heads * width, accumulator / total[:, None], width, padded)


@triton.jit
@no_type_check
def _key_value_grads(
    query, key, value, out, grad_output, lse, grad_query, grad_key, grad_value, size, offset, scale,
    query_row, query_head, key_row, value_row, grad_row, grad_head, line,
    heads: tl.constexpr, group: tl.constexpr, width: tl.constexpr, padded: tl.constexpr,
    block: tl.constexpr, step: tl.constexpr, causal: tl.constexpr, single_block: tl.constexpr,
):  # fmt: skip
    """Gradients of one block of keys and values of one head, summed over the queries that see them.

    The queries are those of all heads that share the head of keys, in tiles of `step`. Scores are transposed: a row is
    a key, a column a query. Pointers point to the segment's first row. Written: rows of grad_key and grad_value, and
    with `single_block` rows of grad_query.
    """
    key_rows = offset + tl.arange(0, block)
    keys = _load_rows(key, key_rows, size, key_row, width, padded)
    values = _load_rows(value, key_rows, size, value_row, width, padded)
    key_sum = tl.zeros([block, padded], tl.float32)
    value_sum = tl.zeros([block, padded], tl.float32)
    out_row = heads * width
    for member in range(group):
        for at in range(offset if causal else 0, size, step):
            rows = at + tl.arange(0, step)
            queries = _load_rows(query + member * query_head, rows, size, query_row, width, padded)
            grads = _load_rows(grad_output + member * grad_head, rows, size, grad_row, width, padded)
            if not single_block:
                outputs = _load_rows(out + member * width, rows, size, out_row, width, padded)
                delta = tl.sum(outputs.to(tl.float32) * grads.to(tl.float32), axis=1)
            total = tl.load(lse + member * line + rows, mask=rows < size, other=0.0)
            scores = tl.dot(keys, tl.trans(queries)) * (scale * _LOG2_E)
            visible = key_rows[:, None] <= rows[None, :] if causal else (key_rows < size)[:, None]
            weights = tl.where(visible, tl.exp2(scores - total[None, :]), 0.0)
            value_sum = tl.dot(weights.to(grads.dtype), grads, value_sum)
            grad_weights = tl.dot(values, tl.trans(grads))
            if single_block:
                delta = tl.sum(weights * grad_weights, axis=0)
            grad_scores = (weights * (grad_weights - delta[None, :])).to(keys.dtype)
            key_sum = tl.dot(grad_scores, queries, key_sum)
            if single_block:
                grad_tile = tl.dot(tl.trans(grad_scores), keys) * scale
                _store_rows(grad_query + member * width, rows, size, out_row, grad_tile, width, padded)
    kv_row = heads // group * width
    _store_rows(grad_key, key_rows, size, kv_row, key_sum * scale, width, padded)
    _store_rows(grad_value, key_rows, size, kv_row, value_sum, width, padded)


@triton.jit
@no_type_check
def _query_grads(
    query, key, value, out, grad_output, lse, grad_query, size, offset, scale,
    query_row, key_row, value_row, grad_row,
    heads: tl.constexpr, width: tl.constexpr, padded: tl.constexpr,
    block: tl.constexpr, causal: tl.constexpr,
):  # fmt: skip
    """Gradients of one block of queries of one head, summed over the keys that they see; written to grad_query."""
    rows = offset + tl.arange(0, block)
    queries = _load_rows(query, rows, size, query_row, width, padded)
    grads = _load_rows(grad_output, rows, size, grad_row, width, padded)
    outputs = _load_rows(out, rows, size, heads * width, width, padded)
    delta = tl.sum(outputs.to(tl.float32) * grads.to(tl.float32), axis=1)
    total = tl.load(lse + rows, mask=rows < size, other=0.0)
    query_sum = tl.zeros([block, padded], tl.float32)
    end = tl.minimum(offset + block, size) if causal else size
    for at in range(0, end, block):
        key_rows = at + tl.arange(0, block)
        keys = _load_rows(key, key_rows, size, key_row, width, padded)
        values = _load_rows(value, key_rows, size, value_row, width, padded)
        scores = tl.dot(queries, tl.trans(keys)) * (scale * _LOG2_E)
        visible = key_rows[None, :] <= rows[:, None] if causal else (key_rows < size)[None, :]
        weights = tl.where(visible, tl.exp2(scores - total[:, None]), 0.0)
        grad_weights = tl.dot(grads, tl.trans(values))
        grad_scores = (weights * (grad_weights - delta[:, None])).to(keys.dtype)
        query_sum = tl.dot(grad_scores, keys, query_sum)
    _store_rows(grad_query, rows, size, heads * width, query_sum * scale, width, padded)


@triton.jit
@no_type_check
def _backward(
    query, key, value, out, grad_output, lse, grad_query, grad_key, grad_value, table, line, scale,
    query_row, query_head, key_row, key_head, value_row, value_head, grad_row, grad_head,
    heads: tl.constexpr, group: tl.constexpr, width: tl.constexpr, padded: tl.constexpr,
    block: tl.constexpr, step: tl.constexpr, causal: tl.constexpr, single_block: tl.constexpr,
):  # fmt: skip
    """Run the programs of one block: one for each head of keys, then one for each head of queries.

    They are neighbours in the grid because they read the same rows. Inputs as in `_forward`, with out and lse from
    there and grad_output with strides. Written: grad_query, grad_key and grad_value (token, head, width).
    """
    num_kv_heads: tl.constexpr = heads // group
    programs: tl.constexpr = num_kv_heads if single_block else num_kv_heads + heads
    number = tl.program_id(0) % programs
    start, size, offset = _load_block(table, tl.program_id(0) // programs)
    for_keys = number < num_kv_heads
    shared = number if for_keys else (number - num_kv_heads) // group
    head = number * group if for_keys else number - num_kv_heads
    query += start * query_row + head * query_head
    grad_output += start * grad_row + head * grad_head
    key += start * key_row + shared * key_head
    value += start * value_row + shared * value_head
    out += (start * heads + head) * width
    grad_query += (start * heads + head) * width
    lse += head.to(tl.int64) * line + start
    if for_keys:
        grad_key += (start * num_kv_heads + shared) * width
        grad_value += (start * num_kv_heads + shared) * width
        _key_value_grads(
            query, key, value, out, grad_output, lse, grad_query, grad_key, grad_value, size, offset, scale,
            query_row, query_head, key_row, value_row, grad_row, grad_head, line,
            heads, group, width, padded, block, step, causal, single_block,
        )  # fmt: skip
    else:
        _query_grads(
            query, key, value, out, grad_output, lse, grad_query, size, offset, scale,
            query_row, key_row, value_row, grad_row, heads, width, padded, block, causal,
        )  # fmt: skip


WARPS = 4
"""A block of 64 rows is what four warps multiply at once; with more, some would repeat the work of others."""
STEP = 32
"""Queries of a tile in a program for keys. With 64, the tile and two accumulators exceed the registers."""
STAGES = 1
"""No tiles are loaded ahead: their memory would take the place of other programs."""
REGISTERS = 160
"""Per thread of the forward pass on a Hopper GPU. The compiler takes 175 for heads of 128 and needs 160, with which
three programs share a multiprocessor instead of two."""


def forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    blocks: Tensor,
    scale: float,
    causal: bool,
    block: int,
    out: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The output (token, head, head_dim) and lse. If `out` is given, only rows of the blocks are written."""
    _, heads, tokens, width = query.shape
    out = query.new_empty(tokens, heads, width) if out is None else out
    # Padded, since a kernel is compiled separately for strides that are multiples of 16 and for others.
    lse = query.new_empty(heads, triton.cdiv(tokens, 16) * 16, dtype=torch.float32)
    kernel: Any = _forward[(len(blocks) * heads,)]
    kernel(
        query, key, value, out, lse, blocks, lse.stride(0), scale,
        query.stride(2), query.stride(1), key.stride(2), key.stride(1), value.stride(2), value.stride(1),
        heads=heads, group=heads // key.shape[1], width=width, padded=_padded(width), block=block,
        causal=causal, num_warps=WARPS, num_stages=STAGES,
        maxnreg=REGISTERS if _is_hopper(query.device) else None,
    )  # fmt: skip
    return out, lse


def backward(
    grad_output: Tensor,
    saved: Saved,
    blocks: Tensor,
    max_length: int,
    scale: float,
    causal: bool,
    block: int,
    grads: tuple[Tensor, Tensor, Tensor],
) -> None:
    """Write the gradients of queries, keys and values into `grads`; only rows of the blocks are written."""
    query, key, value, out, lse = saved
    grad_output = grad_output if grad_output.stride(2) == 1 else grad_output.contiguous()
    _, heads, width = out.shape
    num_kv_heads, single_block = key.shape[1], max_length <= block
    kernel: Any = _backward[(len(blocks) * (num_kv_heads if single_block else num_kv_heads + heads),)]
    kernel(
        query, key, value, out, grad_output, lse, *grads, blocks, lse.stride(0), scale,
        query.stride(2), query.stride(1), key.stride(2), key.stride(1), value.stride(2), value.stride(1),
        grad_output.stride(0), grad_output.stride(1),
        heads=heads, group=heads // num_kv_heads, width=width, padded=_padded(width), block=block,
        step=STEP, causal=causal, single_block=single_block, num_warps=WARPS, num_stages=STAGES,
    )  # fmt: skip


@lru_cache
def _is_hopper(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device)[0] == 9


def _padded(width: int) -> int:
    """Columns of a tile: a power of two that a product takes."""
    return max(16, triton.next_power_of_2(width))
