"""Triton kernels of `rope` (see there for the mathematics and the layout of queries, keys and values).

One program takes all heads of queries and keys of one token as a (heads, d / 2) tile for each half of a head. All
heads share the token's cosines and sines, which are therefore loaded once, and a norm's sums run along rows of the
tile. The numbers of heads and of half a head's columns are padded to powers of two; what lies outside is masked.

Queries come first, so a row of the tile is a query's head if its number is below the number of those, else a key's.
The backward pass is given the gradients of queries, keys and values as separate matrices (attention returns them so)
and writes them next to each other. Each program writes its token's share of the gradients of both norms' weights; they
are summed afterwards in a fixed order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

if TYPE_CHECKING:
    from tunesmith.kernels.ops.rope import HeadLayout, RopeTables


# The run-time checks of signatures in tests would hide the source that Triton compiles.
@triton.jit
@no_type_check
def _load_norm_weight(query_weight, key_weight, head, column, num_heads, inside):
    """A (heads, columns) tile of weights: the queries' norm for heads below `num_heads`, else the keys'."""
    query_part = tl.load(query_weight + column + 0 * head, mask=inside & (head < num_heads), other=0.0)
    key_part = tl.load(key_weight + column + 0 * head, mask=inside & (head >= num_heads), other=0.0)
    return (query_part + key_part).to(tl.float32)


@triton.jit
@no_type_check
def _load_halves(table, column, half):
    """Both halves of a row of `table` (2 * half,) in fp32."""
    first = tl.load(table + column, mask=column < half, other=0.0).to(tl.float32)
    return first, tl.load(table + half + column, mask=column < half, other=0.0).to(tl.float32)


@triton.jit
@no_type_check
def _copy_values(grad_values, grad_qkv, num_columns, column, half: tl.constexpr, padded_heads: tl.constexpr):
    """Copy one token's row of grad_values (num_columns,) to grad_qkv, both of which point to the row's first column."""
    offsets = tl.arange(0, padded_heads)[:, None] * 2 * half + column
    inside = (offsets < num_columns) & (column < half)
    for part in tl.static_range(2):
        grad_value = tl.load(grad_values + offsets + part * half, mask=inside, other=0.0)
        tl.store(grad_qkv + offsets + part * half, grad_value, mask=inside)


@triton.jit
@no_type_check
def _apply_rope(
    qkv, out, stride, out_stride, cos, sin, query_weight, key_weight, num_heads, num_rotated_heads, eps,
    half: tl.constexpr, padded_half: tl.constexpr, padded_heads: tl.constexpr, has_norm: tl.constexpr,
):  # fmt: skip
    """Rotate all heads of one token.

    Inputs: qkv (token, columns) with row stride `stride`; cos and sin (token, 2 * half), contiguous; the norms' weights
    (2 * half,). `num_heads` are queries' heads, `num_rotated_heads` queries' and keys'. Written: the rotated heads into
    out, with row stride `out_stride`, which may be qkv.
    """
    token = tl.program_id(0).to(tl.int64)
    head = tl.arange(0, padded_heads)[:, None]
    column = tl.arange(0, padded_half)[None, :]
    inside = (head < num_rotated_heads) & (column < half)
    offsets = head * 2 * half + column
    loaded = tl.load(qkv + token * stride + offsets, mask=inside, other=0.0)
    first = loaded.to(tl.float32)
    second = tl.load(qkv + token * stride + offsets + half, mask=inside, other=0.0).to(tl.float32)
    dtype = loaded.dtype
    if has_norm:
        squares = tl.sum(first * first, axis=1) + tl.sum(second * second, axis=1)
        rstd = tl.rsqrt(squares / (2 * half) + eps)[:, None]
        first_weight = _load_norm_weight(query_weight, key_weight, head, column, num_heads, inside)
        second_weight = _load_norm_weight(
            query_weight + half, key_weight + half, head, column, num_heads, inside
        )
        first = ((first * rstd).to(dtype).to(tl.float32) * first_weight).to(dtype).to(tl.float32)
        second = ((second * rstd).to(dtype).to(tl.float32) * second_weight).to(dtype).to(tl.float32)
    first_cos, second_cos = _load_halves(cos + token * 2 * half, column, half)
    first_sin, second_sin = _load_halves(sin + token * 2 * half, column, half)
    first_out = first * first_cos - second * first_sin
    second_out = second * second_cos + first * second_sin
    tl.store(out + token * out_stride + offsets, first_out.to(dtype), mask=inside)
    tl.store(out + token * out_stride + offsets + half, second_out.to(dtype), mask=inside)


@triton.jit
@no_type_check
def _store_weight_grads(products, partial, offsets, half, is_query, in_half):
    """Sum a (heads, columns) tile over queries' heads and over keys' heads, and write both to `partial`.

    `partial` is (2, token, head_dim) in fp32: first the shares of the queries' norm, then those of the keys'.
    """
    query_sum = tl.sum(tl.where(is_query, products, 0.0), axis=0)[None, :]
    key_sum = tl.sum(tl.where(is_query, 0.0, products), axis=0)[None, :]
    tl.store(partial + offsets, query_sum, mask=in_half)
    tl.store(partial + tl.num_programs(0) * 2 * half + offsets, key_sum, mask=in_half)


@triton.jit
@no_type_check
def _rope_backward(
    grad_queries, grad_keys, grad_values, qkv, grad_qkv,
    query_stride, key_stride, value_stride, stride, grad_stride,
    cos, sin, query_weight, key_weight, partial, num_heads, num_kv_heads, eps,
    half: tl.constexpr, padded_half: tl.constexpr, padded_heads: tl.constexpr, has_norm: tl.constexpr,
    needs_weight_grads: tl.constexpr,
):  # fmt: skip
    """Rotate the gradients of all heads of one token back and pass them through the norms.

    Inputs: the gradients of queries, keys and values (token, heads * head_dim), each with a row stride; qkv as it was
    before the forward pass (read only if there are norms); tables and weights as in `_apply_rope`. Written: grad_qkv
    (token, columns), and the token's row of partial (2, token, head_dim) if the weights' gradients are asked for.
    """
    token = tl.program_id(0).to(tl.int64)
    head = tl.arange(0, padded_heads)[:, None]
    column = tl.arange(0, padded_half)[None, :]
    inside = (head < num_heads + num_kv_heads) & (column < half)
    is_query = head < num_heads
    query = grad_queries + token * query_stride + head * 2 * half + column
    key = grad_keys + token * key_stride + (head - num_heads) * 2 * half + column
    # Each row of the tile is masked out of one of both matrices, so that their sum is the one it belongs to.
    loaded = tl.load(query, mask=inside & is_query, other=0.0) + tl.load(
        key, mask=inside & (head >= num_heads), other=0.0
    )
    first = loaded.to(tl.float32)
    second = tl.load(query + half, mask=inside & is_query, other=0.0).to(tl.float32)
    second += tl.load(key + half, mask=inside & (head >= num_heads), other=0.0).to(tl.float32)
    dtype = loaded.dtype
    first_cos, second_cos = _load_halves(cos + token * 2 * half, column, half)
    first_sin, second_sin = _load_halves(sin + token * 2 * half, column, half)
    grad_first = first * first_cos + second * second_sin
    grad_second = second * second_cos - first * first_sin
    offsets = head * 2 * half + column
    if has_norm:
        low = tl.load(qkv + token * stride + offsets, mask=inside, other=0.0).to(tl.float32)
        high = tl.load(qkv + token * stride + offsets + half, mask=inside, other=0.0).to(tl.float32)
        squares = tl.sum(low * low, axis=1) + tl.sum(high * high, axis=1)
        rstd = tl.rsqrt(squares / (2 * half) + eps)[:, None]
        low = low * rstd
        high = high * rstd
        if needs_weight_grads:
            angle, in_half = token * 2 * half + column, column < half
            _store_weight_grads(grad_first * low, partial, angle, half, is_query, in_half)
            _store_weight_grads(grad_second * high, partial, angle + half, half, is_query, in_half)
        grad_first = grad_first * _load_norm_weight(query_weight, key_weight, head, column, num_heads, inside)
        grad_second = grad_second * _load_norm_weight(
            query_weight + half, key_weight + half, head, column, num_heads, inside
        )
        mean = tl.sum(grad_first * low, axis=1) + tl.sum(grad_second * high, axis=1)
        mean = (mean / (2 * half))[:, None]
        grad_first = (grad_first - low * mean) * rstd
        grad_second = (grad_second - high * mean) * rstd
    tl.store(grad_qkv + token * grad_stride + offsets, grad_first.to(dtype), mask=inside)
    tl.store(grad_qkv + token * grad_stride + offsets + half, grad_second.to(dtype), mask=inside)
    end = (num_heads + num_kv_heads) * 2 * half
    _copy_values(
        grad_values + token * value_stride, grad_qkv + token * grad_stride + end, num_kv_heads * 2 * half,
        column, half, padded_heads,
    )  # fmt: skip


def apply_rope(qkv: Tensor, layout: HeadLayout, tables: RopeTables) -> tuple[Tensor, Tensor, Tensor]:
    """Triton form of `rope.apply_rope`; overwrites `qkv` if there are no norms."""
    split = qkv.split(layout.sizes, dim=1)
    num_rotated_heads = layout.num_heads + layout.num_kv_heads
    has_norm = tables.norm_weights is not None
    out = qkv.new_empty(len(qkv), num_rotated_heads * layout.head_dim) if has_norm else qkv
    if len(qkv):
        _apply_rope[(len(qkv),)](
            qkv, out, qkv.stride(0), out.stride(0), *_operands(tables), layout.num_heads, num_rotated_heads,
            tables.eps, **_sizes(layout, tables),
        )  # fmt: skip
    if not has_norm:
        return split  # type: ignore[return-value]
    return *out.split(layout.sizes[:2], dim=1), split[2]  # type: ignore[return-value]


def rope_backward(
    grad_outputs: tuple[Tensor, Tensor, Tensor],
    qkv: Tensor | None,
    layout: HeadLayout,
    tables: RopeTables,
    needs_weight_grads: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Triton form of `rope.rope_backward`."""
    grads = [grad if grad.stride(1) == 1 else grad.contiguous() for grad in grad_outputs]
    tokens = len(grads[0])
    grad_qkv = grads[0].new_empty(tokens, sum(layout.sizes))
    kept = grad_qkv if qkv is None else qkv  # Never read without norms.
    shape = (2, tokens, layout.head_dim)
    partial = grad_qkv.new_zeros(shape, dtype=torch.float32) if needs_weight_grads else grad_qkv
    if tokens:
        _rope_backward[(tokens,)](
            *grads, kept, grad_qkv, *(matrix.stride(0) for matrix in (*grads, kept, grad_qkv)),
            *_operands(tables), partial, layout.num_heads, layout.num_kv_heads, tables.eps,
            **_sizes(layout, tables), needs_weight_grads=needs_weight_grads,
        )  # fmt: skip
    return grad_qkv, tuple(partial.sum(1)) if needs_weight_grads else ()


def _operands(tables: RopeTables) -> tuple[Tensor, ...]:
    weights = tables.norm_weights or (tables.cos, tables.cos)  # Never read without norms.
    return tables.cos, tables.sin, *weights


def _sizes(layout: HeadLayout, tables: RopeTables) -> dict[str, Any]:
    half = layout.head_dim // 2
    return {
        "half": half,
        "padded_half": triton.next_power_of_2(half),
        "padded_heads": triton.next_power_of_2(layout.num_heads + layout.num_kv_heads),
        "has_norm": tables.norm_weights is not None,
    }
