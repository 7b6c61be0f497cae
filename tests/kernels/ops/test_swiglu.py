"""The gated activation and its gradients, compared with autograd."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.kernels.ops.comparing import (
    RANK,
    TOKENS,
    WIDTH,
    assert_close,
    random,
    random_update,
    with_update,
)
from tunesmith.kernels.ops.swiglu import swiglu, swiglu_backward


@pytest.mark.parametrize("adapted", [("gate", "up", "output"), ("up",), ("output",)], ids="+".join)
def test_gradients_are_those_of_autograd_with_any_adapter_missing(adapted: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    gate_up, grad_output, lora_A = random(TOKENS, 2 * WIDTH), random(TOKENS, WIDTH), random(RANK, WIDTH)
    gate, up = (half.clone().requires_grad_() for half in gate_up.chunk(2, dim=1))
    gate_update, up_update, output_update = (
        random_update() if name in adapted else None for name in ("gate", "up", "output")
    )
    inners = [update.inner.requires_grad_() for update in (gate_update, up_update) if update]
    expected = functional.silu(with_update(gate, gate_update)) * with_update(up, up_update)
    grads = torch.autograd.grad(
        expected, (gate, up, *inners), with_update(grad_output, output_update).detach()
    )
    for inner in inners:
        inner.requires_grad_(False)
    out, down_inner = swiglu(gate_up, gate_update, up_update, lora_A)
    assert_close(out, expected.detach())
    assert down_inner is not None
    assert_close(down_inner, expected.detach() @ lora_A.T)
    assert swiglu(gate_up, gate_update, up_update, None)[1] is None
    grad_gate_up, recomputed, grad_inner = swiglu_backward(
        grad_output, gate_up, gate_update, up_update, output_update
    )
    assert_close(grad_gate_up, torch.cat(grads[:2], dim=1))
    assert_close(recomputed, expected.detach())
    if grad_inner is None:
        assert not inners
    else:
        assert_close(grad_inner, torch.cat(grads[2:], dim=1))
