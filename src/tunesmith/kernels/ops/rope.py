"""Rotary position embedding (Su et al. 2021) of queries and keys, with an optional RMS norm of each head before it.

A head x of width d is rotated in d / 2 planes. Plane i is spanned by the coordinates i and i + d / 2, so with the two
halves x1, x2 of the head and the angles' cosines and sines, which come as tables of d columns:

    y1 = x1 * cos1 - x2 * sin1
    y2 = x2 * cos2 + x1 * sin2

A rotation's transpose is its inverse, so the backward pass rotates the gradient the other way:

    dL/dx1 = g1 * cos1 + g2 * sin2
    dL/dx2 = g2 * cos2 - g1 * sin1

Some architectures normalise every head of queries and keys first, each of the two with a weight of its own
(`norm_weights`); the gradients are those of `rms_norm` on rows of one head's width.

Layout: queries, keys and values come out of one projection and lie next to each other in a row, head by head. Values
pass through. Without norms the rotation is written over its input, which nothing needs any more (the backward pass
needs the angles alone); with norms the input is kept.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tunesmith.kernels.ops import Activations
from tunesmith.kernels.ops.dispatch import implementation

_NAME = "rope"


class HeadLayout(NamedTuple):
    """How queries, keys and values lie next to each other in a row."""

    num_heads: int
    """Heads of queries."""
    num_kv_heads: int
    """Heads of keys, and as many of values."""
    head_dim: int

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Columns of queries, keys and values."""
        kv_size = self.num_kv_heads * self.head_dim
        return self.num_heads * self.head_dim, kv_size, kv_size


class RopeTables(NamedTuple):
    """Cosines and sines of every token's angles, and the norms of heads before the rotation."""

    cos: Float[Tensor, "token head_dim"]
    sin: Float[Tensor, "token head_dim"]
    norm_weights: tuple[Float[Tensor, " head_dim"], Float[Tensor, " head_dim"]] | None
    """Of queries' heads and of keys' heads; None without norms."""
    eps: float


def apply_rope(qkv: Activations, layout: HeadLayout, tables: RopeTables) -> tuple[Tensor, Tensor, Tensor]:
    """Queries and keys, normalised and rotated, and values. Without norms `qkv` may be overwritten."""
    if (kernels := implementation(qkv, _NAME)) is not None:
        return kernels.apply_rope(qkv, layout, tables)
    *queries_keys, values = qkv.split(layout.sizes, dim=1)
    weights = tables.norm_weights or (None, None)
    queries, keys = (_rotate(x, tables, weight) for x, weight in zip(queries_keys, weights, strict=True))
    return queries, keys, values


def rope_backward(
    grad_outputs: tuple[Tensor, Tensor, Tensor],
    qkv: Activations | None,
    layout: HeadLayout,
    tables: RopeTables,
    needs_weight_grads: bool = False,
) -> tuple[Activations, tuple[Tensor, ...]]:
    """Gradient of `qkv`, and those of both norms' weights in fp32 if they are asked for.

    `grad_outputs` are the gradients of queries, keys and values. `qkv` is the input of `apply_rope`; it may be None if
    there are no norms.
    """
    if (kernels := implementation(grad_outputs[0], _NAME)) is not None:
        return kernels.rope_backward(grad_outputs, qkv, layout, tables, needs_weight_grads)
    inputs = [None] * 3 if qkv is None else qkv.split(layout.sizes, dim=1)
    weights = tables.norm_weights or (None, None)
    grads = [
        _rotate_backward(grad_output, x, tables, weight)
        for grad_output, x, weight in zip(grad_outputs, inputs, weights, strict=False)
    ]
    grad_qkv = torch.cat([*(grad_x for grad_x, _ in grads), grad_outputs[2]], dim=1)
    return grad_qkv, tuple(grad_weight for _, grad_weight in grads if needs_weight_grads)


def _rotate(x: Activations, tables: RopeTables, weight: Tensor | None) -> Activations:
    heads = _by_head(x, tables)
    if weight is not None:
        heads = _normalised(heads, tables)[0].to(x.dtype).float() * weight.float()
        heads = heads.to(x.dtype).float()
    cos, sin = tables.cos[:, None].float(), tables.sin[:, None].float()
    return (heads * cos + _rotate_half(heads) * sin).flatten(1).to(x.dtype)


def _rotate_backward(
    grad_output: Activations, x: Activations | None, tables: RopeTables, weight: Tensor | None
) -> tuple[Activations, Tensor]:
    """Gradients of `x` and of the norm's weight."""
    grad_heads = _by_head(grad_output, tables)
    cos, sin = tables.cos[:, None].float(), tables.sin[:, None].float()
    grad_heads = grad_heads * cos - _rotate_half(grad_heads * sin)
    grad_weight = grad_heads.new_empty(0)
    if weight is not None:
        assert x is not None
        unit, rstd = _normalised(_by_head(x, tables), tables)
        grad_weight = (grad_heads * unit).sum((0, 1))
        weighted = grad_heads * weight.float()
        grad_heads = (weighted - unit * (weighted * unit).mean(-1, keepdim=True)) * rstd
    return grad_heads.flatten(1).to(grad_output.dtype), grad_weight


def _by_head(x: Activations, tables: RopeTables) -> Float[Tensor, "token head head_dim"]:
    return x.float().unflatten(1, (-1, tables.cos.shape[1]))


def _normalised(heads: Tensor, tables: RopeTables) -> tuple[Tensor, Tensor]:
    """Heads divided by their root mean square, and what they were multiplied by."""
    rstd = torch.rsqrt(heads.square().mean(-1, keepdim=True) + tables.eps)
    return heads * rstd, rstd


def _rotate_half(heads: Tensor) -> Tensor:
    first, second = heads.chunk(2, dim=-1)
    return torch.cat([-second, first], dim=-1)
