"""Rotary positions and norms of heads, and their gradients, compared with autograd."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.kernels.ops.comparing import TOKENS, assert_close, random
from tunesmith.kernels.ops.rope import HeadLayout, RopeTables, apply_rope, rope_backward


@pytest.mark.parametrize("has_norms", [False, True])
def test_gradients_are_those_of_autograd_with_and_without_norms_of_heads(has_norms: bool) -> None:
    torch.manual_seed(0)
    cos, sin, layout = random(TOKENS, 4), random(TOKENS, 4), HeadLayout(3, 1, 4)
    weights = (random(4).requires_grad_(), random(4).requires_grad_()) if has_norms else None
    tables = RopeTables(cos, sin, weights, 1e-5)
    qkv = random(TOKENS, sum(layout.sizes)).requires_grad_()
    *queries_keys, values = qkv.split(layout.sizes, dim=1)
    expected = []
    for x, weight in zip(queries_keys, weights or (None, None), strict=True):
        heads = x.unflatten(1, (-1, 4))
        heads = heads if weight is None else functional.rms_norm(heads, (4,), weight, 1e-5)
        first, second = heads.chunk(2, -1)
        rotated = heads * cos[:, None] + torch.cat([-second, first], -1) * sin[:, None]
        expected.append(rotated.flatten(1))
    expected.append(values)
    for actual, wanted in zip(apply_rope(qkv.detach(), layout, tables), expected, strict=True):
        assert_close(actual.detach(), wanted.detach())
    grad_outputs = tuple(torch.randn_like(x) for x in expected)
    wanted_grads = torch.autograd.grad(expected, (qkv, *(weights or ())), grad_outputs)
    kept = qkv.detach() if has_norms else None
    with torch.no_grad():
        grad_qkv, grad_weights = rope_backward(grad_outputs, kept, layout, tables, has_norms)  # type: ignore[arg-type]
    for actual, wanted in zip((grad_qkv, *grad_weights), wanted_grads, strict=True):
        assert_close(actual, wanted)
