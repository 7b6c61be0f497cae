"""Triton kernels of `swiglu` (see there for the mathematics and the layout of gate and up).

A program computes tiles of 64 tokens by 64 columns of the MLP's inner width; why they are small stands in
`lora_triton`. Adapters' updates of gate and up are added to the tile in registers, by products with the tensor cores.

What multiplies the whole row with an adapter's matrix (y lora_A^T forward, dL/dg B_gate and dL/du B_up backward) is a
sum over the width, while a program sees only some of its columns. So a program takes 8 tiles next to each other, sums
their products in registers and writes one (64, rank) partial sum; `_sum_partials` adds the partial sums of all programs
in a fixed order, so that results repeat to the last bit, which atomic additions would not give. That needs registers
for the sums: for ranks above 32, a matrix product after the kernel does it instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.graph import increment_version

from tunesmith.kernels.ops.lora_triton import (
    MAX_PIPELINED_RANK,
    TILE_COLUMNS,
    TILE_ROWS,
    load_inner,
    load_matrix,
    padded_rank,
    rank_of,
    tile_options,
)

if TYPE_CHECKING:
    from tunesmith.kernels.ops.lora import LoraUpdate

NUM_TILES = 8
"""Tiles next to each other in one program that sums over them."""


# The run-time checks of signatures in tests would hide the source that Triton compiles.
@triton.jit
@no_type_check
def _load_all_ranks(inner, rows, stride, rank, tokens, padded: tl.constexpr):
    """All ranks of an adapter as indices, and these rows of inner (token, rank)."""
    ranks = tl.arange(0, padded)
    return ranks, load_inner(inner, ranks, rows, stride, rank, tokens)


@triton.jit
@no_type_check
def _store_partial(partial, values, ranks, rows, rank, tokens):
    """Write a program's (rows, ranks) partial sum to rows that `partial` already points to."""
    inside = (rows[:, None] < tokens) & (ranks[None, :] < rank)
    tl.store(partial + ranks[None, :], values, mask=inside)


@triton.jit
@no_type_check
def _swiglu(
    gate_up, out, tokens, width,
    gate_inner, gate_b, gate_rank, up_inner, up_b, up_rank, inner_stride, b_stride,
    lora_a, partial, a_rank,
    gate_padded: tl.constexpr, up_padded: tl.constexpr, a_padded: tl.constexpr,
    num_rows: tl.constexpr, num_columns: tl.constexpr, num_tiles: tl.constexpr, stages: tl.constexpr,
):  # fmt: skip
    """Compute `num_tiles` tiles of silu(gate) * up and the program's partial sum of y lora_A^T.

    Inputs: gate_up (token, 2 * width); inner activations (token, rank) with row stride `inner_stride` and matrices
    gate_b and up_b (width, rank) with row stride `b_stride` of both adapters; lora_a (a_rank, width), contiguous. A
    padded rank of 0 says that an adapter is absent. Written: out (token, width) in the dtype of gate_up, partial
    (programs, token, a_rank) in fp32.
    """
    rows = (tl.program_id(1) * num_rows + tl.arange(0, num_rows)).to(tl.int64)
    if gate_padded > 0:
        gate_ranks, gate_left = _load_all_ranks(
            gate_inner, rows, inner_stride, gate_rank, tokens, gate_padded
        )
    if up_padded > 0:
        up_ranks, up_left = _load_all_ranks(up_inner, rows, inner_stride, up_rank, tokens, up_padded)
    if a_padded > 0:
        a_ranks = tl.arange(0, a_padded)
        inner = tl.zeros((num_rows, a_padded), tl.float32)
    for tile in tl.range(num_tiles, num_stages=stages):
        columns = (tl.program_id(0) * num_tiles + tile) * num_columns + tl.arange(0, num_columns)
        inside = (rows[:, None] < tokens) & (columns[None, :] < width)
        offsets = rows[:, None] * 2 * width + columns[None, :]
        loaded = tl.load(gate_up + offsets, mask=inside, other=0.0)
        gate = loaded.to(tl.float32)
        up = tl.load(gate_up + offsets + width, mask=inside, other=0.0).to(tl.float32)
        if gate_padded > 0:
            right = load_matrix(gate_b, gate_ranks, columns, 1, b_stride, gate_rank, width)
            gate += tl.dot(gate_left, right)
        if up_padded > 0:
            right = load_matrix(up_b, up_ranks, columns, 1, b_stride, up_rank, width)
            up += tl.dot(up_left, right)
        y = (gate * tl.sigmoid(gate)).to(loaded.dtype).to(tl.float32)
        y = (y * up).to(loaded.dtype)
        tl.store(out + rows[:, None] * width + columns[None, :], y, mask=inside)
        if a_padded > 0:
            right = load_matrix(lora_a, a_ranks, columns, width, 1, a_rank, width)
            inner += tl.dot(y, tl.trans(right))
    if a_padded > 0:
        partial += (tl.program_id(0).to(tl.int64) * tokens + rows[:, None]) * a_rank
        _store_partial(partial, inner, a_ranks, rows, a_rank, tokens)


@triton.jit
@no_type_check
def _local_grads(grad, gate, up):
    """silu(gate) and the gradients of gate and up, for a tile in fp32."""
    sigmoid = tl.sigmoid(gate)
    silu = gate * sigmoid
    return silu, grad * up * sigmoid * (1 + gate * (1 - sigmoid)), grad * silu


@triton.jit
@no_type_check
def _swiglu_backward(
    grad_output, gate_up, tokens, width,
    gate_inner, gate_b, gate_rank, up_inner, up_b, up_rank, inner_stride, b_stride,
    output_inner, output_a, output_rank, partial,
    gate_padded: tl.constexpr, up_padded: tl.constexpr, output_padded: tl.constexpr, has_partial: tl.constexpr,
    num_rows: tl.constexpr, num_columns: tl.constexpr, num_tiles: tl.constexpr, stages: tl.constexpr,
):  # fmt: skip
    """Compute `num_tiles` tiles of the gradients of gate and up, and recompute y.

    Inputs: grad_output (token, width); gate_up and the adapters of gate and up as in `_swiglu`; output_inner (token,
    output_rank) and output_a (output_rank, width), both contiguous, whose product is added to grad_output. Written:
    dL/dg and dL/du over gate_up, y over grad_output, and the partial sums of dL/dg B_gate and dL/du B_up next to each
    other into partial (programs, token, gate_rank + up_rank) in fp32.
    """
    rows = (tl.program_id(1) * num_rows + tl.arange(0, num_rows)).to(tl.int64)
    if gate_padded > 0:
        gate_ranks, gate_left = _load_all_ranks(
            gate_inner, rows, inner_stride, gate_rank, tokens, gate_padded
        )
        grad_gate_inner = tl.zeros((num_rows, gate_padded), tl.float32)
    if up_padded > 0:
        up_ranks, up_left = _load_all_ranks(up_inner, rows, inner_stride, up_rank, tokens, up_padded)
        grad_up_inner = tl.zeros((num_rows, up_padded), tl.float32)
    if output_padded > 0:
        ranks, left = _load_all_ranks(output_inner, rows, output_rank, output_rank, tokens, output_padded)
    for tile in tl.range(num_tiles, num_stages=stages):
        columns = (tl.program_id(0) * num_tiles + tile) * num_columns + tl.arange(0, num_columns)
        inside = (rows[:, None] < tokens) & (columns[None, :] < width)
        offsets = rows[:, None] * 2 * width + columns[None, :]
        loaded = tl.load(gate_up + offsets, mask=inside, other=0.0)
        gate = loaded.to(tl.float32)
        up = tl.load(gate_up + offsets + width, mask=inside, other=0.0).to(tl.float32)
        output_offsets = rows[:, None] * width + columns[None, :]
        grad = tl.load(grad_output + output_offsets, mask=inside, other=0.0).to(tl.float32)
        if gate_padded > 0:
            gate_right = load_matrix(gate_b, gate_ranks, columns, 1, b_stride, gate_rank, width)
            gate += tl.dot(gate_left, gate_right)
        if up_padded > 0:
            up_right = load_matrix(up_b, up_ranks, columns, 1, b_stride, up_rank, width)
            up += tl.dot(up_left, up_right)
        if output_padded > 0:
            grad += tl.dot(left, load_matrix(output_a, ranks, columns, width, 1, output_rank, width))
        silu, grad_gate, grad_up = _local_grads(grad, gate, up)
        grad_gate, grad_up = grad_gate.to(loaded.dtype), grad_up.to(loaded.dtype)
        tl.store(gate_up + offsets, grad_gate, mask=inside)
        tl.store(gate_up + offsets + width, grad_up, mask=inside)
        y = (silu.to(loaded.dtype).to(tl.float32) * up).to(loaded.dtype)
        tl.store(grad_output + output_offsets, y, mask=inside)
        if has_partial:
            if gate_padded > 0:
                grad_gate_inner += tl.dot(grad_gate, tl.trans(gate_right))
            if up_padded > 0:
                grad_up_inner += tl.dot(grad_up, tl.trans(up_right))
    if has_partial:
        partial += (tl.program_id(0).to(tl.int64) * tokens + rows[:, None]) * (gate_rank + up_rank)
        if gate_padded > 0:
            _store_partial(partial, grad_gate_inner, gate_ranks, rows, gate_rank, tokens)
        if up_padded > 0:
            _store_partial(partial + gate_rank, grad_up_inner, up_ranks, rows, up_rank, tokens)


@triton.jit
@no_type_check
def _sum_partials(partial, out, size, number: tl.constexpr, block: tl.constexpr):
    """Add `number` partial sums of `size` fp32 numbers each, in order; write one block in the dtype of out."""
    offsets = tl.program_id(0) * block + tl.arange(0, block)
    inside = offsets < size
    total = tl.zeros((block,), tl.float32)
    for _ in range(number):
        total += tl.load(partial + offsets, mask=inside, other=0.0)
        partial += size
    tl.store(out + offsets, total.to(out.dtype.element_ty), mask=inside)


def swiglu(
    gate_up: Tensor, gate_update: LoraUpdate | None, up_update: LoraUpdate | None, lora_A: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Triton form of `swiglu.swiglu`."""
    tokens, width = len(gate_up), gate_up.shape[1] // 2
    out = gate_up.new_empty(tokens, width)
    rank = 0 if lora_A is None else len(lora_A)
    is_summed = 0 < rank <= MAX_PIPELINED_RANK and _largest_rank(gate_update, up_update) <= MAX_PIPELINED_RANK
    num_tiles = NUM_TILES if is_summed else 1
    programs = triton.cdiv(width, TILE_COLUMNS * num_tiles)
    partial = gate_up.new_empty(programs, tokens, rank, dtype=torch.float32) if is_summed else gate_up
    _swiglu[(programs, triton.cdiv(tokens, TILE_ROWS))](
        gate_up, out, tokens, width, *_operands(gate_update, up_update, gate_up),
        gate_up if lora_A is None else lora_A, partial, rank,
        gate_padded=padded_rank(rank_of(gate_update)), up_padded=padded_rank(rank_of(up_update)),
        a_padded=padded_rank(rank) if is_summed else 0,
        **tile_options(num_tiles, is_summed),
    )  # fmt: skip
    if lora_A is None:
        return out, None
    return out, _summed(partial, gate_up.dtype) if is_summed else out @ lora_A.T


def swiglu_backward(
    grad_output: Tensor,
    gate_up: Tensor,
    gate_update: LoraUpdate | None,
    up_update: LoraUpdate | None,
    output_update: LoraUpdate | None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Triton form of `swiglu.swiglu_backward`; overwrites `grad_output` and `gate_up`."""
    tokens, width = grad_output.shape
    increment_version((grad_output, gate_up))  # So that autograd refuses a second backward pass.
    rank = rank_of(gate_update) + rank_of(up_update)
    is_summed = rank > 0 and _largest_rank(gate_update, up_update, output_update) <= MAX_PIPELINED_RANK
    num_tiles = NUM_TILES if is_summed else 1
    programs = triton.cdiv(width, TILE_COLUMNS * num_tiles)
    partial = gate_up.new_empty(programs, tokens, rank, dtype=torch.float32) if is_summed else gate_up
    output_rank = rank_of(output_update)
    output = (output_update.inner, output_update.lora_B) if output_update else (gate_up, gate_up)
    _swiglu_backward[(programs, triton.cdiv(tokens, TILE_ROWS))](
        grad_output, gate_up, tokens, width, *_operands(gate_update, up_update, gate_up),
        *output, output_rank, partial,
        gate_padded=padded_rank(rank_of(gate_update)), up_padded=padded_rank(rank_of(up_update)),
        output_padded=padded_rank(output_rank), has_partial=is_summed,
        **tile_options(num_tiles, is_summed),
    )  # fmt: skip
    if is_summed:
        return gate_up, grad_output, _summed(partial, gate_up.dtype)
    halves = zip(gate_up.chunk(2, dim=1), (gate_update, up_update), strict=True)
    grad_inner = [grad_half @ update.lora_B for grad_half, update in halves if update]
    return gate_up, grad_output, torch.cat(grad_inner, dim=1) if grad_inner else None


def _operands(
    gate_update: LoraUpdate | None, up_update: LoraUpdate | None, unused: Tensor
) -> tuple[Any, ...]:
    """Kernel arguments of both adapters, whose matrices are slices of the same two and so share strides."""
    each = [
        (update.inner, update.lora_B, rank_of(update)) if update else (unused, unused, 0)
        for update in (gate_update, up_update)
    ]
    some = gate_update or up_update
    return *each[0], *each[1], *((some.inner.stride(0), some.lora_B.stride(0)) if some else (0, 0))


def _summed(partial: Tensor, dtype: torch.dtype) -> Tensor:
    """The sum of all programs' partial sums, rounded once."""
    number, *shape = partial.shape
    out = partial.new_empty(shape, dtype=dtype)
    block = 1024
    _sum_partials[(triton.cdiv(out.numel(), block),)](partial, out, out.numel(), number, block=block)
    return out


def _largest_rank(*updates: LoraUpdate | None) -> int:
    return max(rank_of(update) for update in updates)
