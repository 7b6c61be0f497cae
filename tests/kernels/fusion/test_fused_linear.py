"""Layers seen as products: which are, padded or not, beside the layers themselves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from tunesmith.kernels.fusion.fused_linear import FusedLinear, fuse_linears
from tunesmith.kernels.ops.scaled_copy import ScaledCopies
from tunesmith.precision.matmul_backends import NO_PADDING, Padding

IN, FIRST, SECOND = 6, 4, 10


def layers(bias: bool = True, **settings: Any) -> tuple[nn.Module, nn.Module]:
    """Two layers of one input with adapters that do something, in fp64."""
    torch.manual_seed(0)
    plain = nn.ModuleDict(
        {"first": nn.Linear(IN, FIRST, bias=bias), "second": nn.Linear(IN, SECOND, bias=bias)}
    )
    config = LoraConfig(**{"r": 2, "lora_alpha": 3, "target_modules": ["first", "second"]} | settings)
    model: Any = get_peft_model(plain, config)  # type: ignore[arg-type]
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight)
    inner: Any = model.double().base_model.model
    return inner.first, inner.second


def fused(*given: nn.Module, pad: Padding = NO_PADDING) -> FusedLinear:
    copies = ScaledCopies()
    found = fuse_linears(given, copies, torch.double, pad)
    assert found is not None
    copies.refresh()
    return found


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("settings", [{}, {"target_modules": ["second"]}], ids=["both", "one"])
def test_outputs_and_all_gradients_are_those_of_the_layers(bias: bool, settings: dict[str, Any]) -> None:
    first, second = layers(bias, **settings)
    ours = fused(first, second)
    rows = torch.randn(7, IN, dtype=torch.double, requires_grad=True)
    wanted = torch.cat([first(rows), second(rows)], dim=1)
    gradient = torch.randn_like(wanted)
    right = torch.autograd.grad(wanted, [rows, *ours.parameters], gradient)
    hidden = rows.detach()
    inner = ours.lora_inner(hidden)
    torch.testing.assert_close(ours.forward(hidden, inner, None), wanted.detach(), rtol=1e-5, atol=1e-5)
    of_each = [
        torch.zeros_like(one) if more is None else more.inner @ more.lora_B.T
        for one, more in zip((first(hidden), second(hidden)), ours.lora_updates(inner), strict=True)
    ]
    added = ours.lora_update(inner)
    assert added is not None
    torch.testing.assert_close(torch.cat(of_each, dim=1), added.inner @ added.lora_B.T)
    of_inner = ours.lora_inner_grad(gradient)
    assert of_inner is not None
    found = [
        ours.input_grad(gradient, of_inner, None),
        *ours.param_grads(of_inner.T @ hidden, gradient, inner, lambda: hidden),
    ]
    for one, gradient in zip(found, right, strict=True):
        torch.testing.assert_close(one, gradient, rtol=1e-5, atol=1e-5)


def test_padding_changes_nothing_but_the_widths() -> None:
    first, _ = layers()
    rows, gradient = torch.randn(7, IN, dtype=torch.double), torch.randn(7, FIRST, dtype=torch.double)
    plain, padded = fused(first), fused(first, pad=Padding(inputs=2, outputs=4))

    def widened(matrix: Tensor, more: int) -> Tensor:
        return torch.cat([matrix, torch.zeros(len(matrix), more, dtype=matrix.dtype)], dim=1)

    out = padded.forward(widened(rows, 2), padded.lora_inner(widened(rows, 2)), None)
    torch.testing.assert_close(out, widened(plain.forward(rows, plain.lora_inner(rows), None), 4))
    wide = widened(gradient, 4)
    of_rows = padded.input_grad(wide, padded.lora_inner_grad(wide), None)
    torch.testing.assert_close(
        of_rows, widened(plain.input_grad(gradient, plain.lora_inner_grad(gradient), None), 2)
    )
    inner = padded.lora_inner(widened(rows, 2))
    down, up = padded.param_grads(torch.ones(2, IN + 2), wide, inner, lambda: widened(rows, 2))
    assert down.shape == (2, IN)
    assert up.shape == (FIRST, 2)


@pytest.mark.parametrize(
    "settings",
    [{"r": 200}, {"lora_dropout": 0.1}, {"use_dora": True}],
    ids=lambda one: next(iter(one)),
)
def test_adapters_of_another_make_are_refused(settings: dict[str, Any]) -> None:
    assert fuse_linears(layers(**settings), ScaledCopies(), torch.double) is None


def test_a_layer_that_is_trained_or_in_another_precision_is_refused() -> None:
    first, second = layers()
    assert fuse_linears([first, second], ScaledCopies(), torch.bfloat16) is None
    for weight in second.parameters():
        weight.requires_grad_(True)
    assert fuse_linears([first, second], ScaledCopies(), torch.double) is None
