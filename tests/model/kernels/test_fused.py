"""Each fused pass beside autograd of the layers that it stands for, and the Triton kernels beside the plain ones."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tunesmith.model.kernels.fused import (
    Added,
    Turning,
    gated,
    normalised,
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
    wanted = functional.rms_norm(hidden, (8,), weight, 1e-5)
    wanted.backward(gradient)
    found, factor = normalised(hidden.detach(), weight, 1e-5)
    close(found, wanted.detach())
    assert hidden.grad is not None
    close(through_norm(gradient, hidden.detach(), factor, weight, beside), hidden.grad + beside)


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
        gate, up, gradient = (random(TOKENS, WIDTH).requires_grad_() for _ in range(3))
        to_gate, to_up, more = (added() if has else None for has in (has_gate, has_up, has_more))
        whole_gate = whole(gate, to_gate) if to_gate else gate
        whole_up = whole(up, to_up) if to_up else up
        opened = functional.silu(whole_gate) * whole_up
        arriving = (whole(gradient, more) if more else gradient).detach()
        wanted = torch.autograd.grad(opened, (whole_gate, whole_up), arriving)
        given = (gate.detach(), up.detach(), to_gate, to_up)
        close(gated(*given), opened.detach())
        for found, right in zip(
            through_gate(gradient.detach(), *given, more), (*wanted, opened.detach()), strict=True
        ):
            close(found, right)


def test_turning_back_is_the_gradient_of_turning_with_and_without_a_norm_of_heads() -> None:
    torch.manual_seed(0)
    cosine, sine = random(TOKENS, 4), random(TOKENS, 4)
    for weight in (None, random(4)):
        turning = Turning(cosine, sine, weight, 1e-5)
        rows, gradient = random(TOKENS, WIDTH).requires_grad_(), random(TOKENS, WIDTH)
        heads = rows.unflatten(1, (-1, 4))
        heads = heads if weight is None else functional.rms_norm(heads, (4,), weight, 1e-5)
        first, second = heads.chunk(2, -1)
        wanted = heads * cosine[:, None] + torch.cat([-second, first], -1) * sine[:, None]
        close(turned(rows.detach(), turning), wanted.flatten(1).detach())
        (right,) = torch.autograd.grad(wanted.flatten(1), rows, gradient)
        close(turned_back(gradient, None if weight is None else rows.detach(), turning), right)
