"""Each fused pass beside autograd of the layers that it stands for, and the Triton kernels beside the plain ones."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tunesmith.kernels.ops.pointwise import (
    Added,
    Heads,
    Turning,
    gated,
    normalised,
    of_norm,
    summed,
    through_gate,
    through_norm,
    turned,
    turned_back,
)

TOKENS, WIDTH, RANK = 5, 8, 2


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.double)


def added() -> Added:
    return Added(random(TOKENS, RANK), random(WIDTH, RANK))


def whole(rows: Tensor, adapter: Added) -> Tensor:
    return rows + adapter.inner @ adapter.up.T


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found.double(), wanted.double(), rtol=1e-5, atol=1e-5)


def test_a_norm_and_its_gradient_are_those_of_pytorch() -> None:
    torch.manual_seed(0)
    hidden, weight, gradient, beside = random(5, 8), random(8), random(5, 8), random(5, 8)
    hidden.requires_grad_()
    weight.requires_grad_()
    wanted = functional.rms_norm(hidden, (8,), weight, 1e-5)
    wanted.backward(gradient)
    weight.requires_grad_(False)
    found, factor = normalised(hidden.detach(), weight, 1e-5)
    close(found, wanted.detach())
    assert hidden.grad is not None
    close(through_norm(gradient, hidden.detach(), factor, weight, beside), hidden.grad + beside)
    assert weight.grad is not None
    close(of_norm(gradient, hidden.detach(), factor), weight.grad)


def test_what_an_adapter_adds_and_what_goes_past_are_summed() -> None:
    torch.manual_seed(0)
    rows, beside, adapter = random(TOKENS, WIDTH), random(TOKENS, WIDTH), added()
    close(summed(rows, adapter, beside), whole(rows, adapter) + beside)
    close(summed(rows, adapter, None), whole(rows, adapter))
    close(summed(rows, None, beside), rows + beside)
    assert summed(rows, None, None) is rows


def test_gradients_of_a_gate_are_those_of_autograd_with_any_adapter_missing() -> None:
    torch.manual_seed(0)
    for has_gate, has_up, has_more in ((True, True, True), (False, True, False), (False, False, True)):
        both, gradient, down = random(TOKENS, 2 * WIDTH), random(TOKENS, WIDTH), random(RANK, WIDTH)
        gate, up = (one.clone().requires_grad_() for one in both.chunk(2, dim=1))
        to_gate, to_up, more = (added() if has else None for has in (has_gate, has_up, has_more))
        inners = [one.inner.requires_grad_() for one in (to_gate, to_up) if one]
        opened = functional.silu(whole(gate, to_gate) if to_gate else gate) * (
            whole(up, to_up) if to_up else up
        )
        arriving = (whole(gradient, more) if more else gradient).detach()
        of_gate, of_up, *of_inners = torch.autograd.grad(opened, (gate, up, *inners), arriving)
        for one in inners:
            one.requires_grad_(False)
        out, inner = gated(both, to_gate, to_up, down)
        close(out, opened.detach())
        assert inner is not None
        close(inner, opened.detach() @ down.T)
        assert gated(both, to_gate, to_up, None)[1] is None
        of_both, again, of_inner = through_gate(gradient, both, to_gate, to_up, more)
        close(of_both, torch.cat([of_gate, of_up], dim=1))
        close(again, opened.detach())
        if of_inner is None:
            assert not inners
        else:
            close(of_inner, torch.cat(of_inners, dim=1))


def test_turning_back_is_the_gradient_of_turning_with_and_without_norms_of_heads() -> None:
    torch.manual_seed(0)
    cosine, sine, heads = random(TOKENS, 4), random(TOKENS, 4), Heads(3, 1, 4)
    for weights in ((), (random(4).requires_grad_(), random(4).requires_grad_())):
        turning = Turning(cosine, sine, weights or None, 1e-5)  # type: ignore[arg-type]
        rows = random(TOKENS, sum(heads.sizes)).requires_grad_()
        *raw, values = rows.split(heads.sizes, dim=1)
        wanted = []
        for one, weight in zip(raw, weights or (None, None), strict=True):
            each = one.unflatten(1, (-1, 4))
            each = each if weight is None else functional.rms_norm(each, (4,), weight, 1e-5)
            first, second = each.chunk(2, -1)
            turns = each * cosine[:, None] + torch.cat([-second, first], -1) * sine[:, None]
            wanted.append(turns.flatten(1))
        wanted.append(values)
        for found, one in zip(turned(rows.detach(), heads, turning), wanted, strict=True):
            close(found.detach(), one.detach())
        gradients = tuple(torch.randn_like(one) for one in wanted)
        right = torch.autograd.grad(wanted, (rows, *weights), gradients)
        kept = rows.detach() if weights else None
        with torch.no_grad():
            of_rows, of_weights = turned_back(gradients, kept, heads, turning, bool(weights))  # type: ignore[arg-type]
        for found, one in zip((of_rows, *of_weights), right, strict=True):
            close(found, one)
