"""Layers seen as products: which are, padded or not, beside the layers themselves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from tunesmith.kernels.fusion.fused_linear import Copies, Fan, fan
from tunesmith.precision.matmul_backends import NOTHING, Pad

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


def as_fan(*given: nn.Module, pad: Pad = NOTHING) -> Fan:
    copies = Copies()
    found = fan(given, copies, torch.double, pad)
    assert found is not None
    copies.refresh()
    return found


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("settings", [{}, {"target_modules": ["second"]}], ids=["both", "one"])
def test_outputs_and_all_gradients_are_those_of_the_layers(bias: bool, settings: dict[str, Any]) -> None:
    first, second = layers(bias, **settings)
    ours = as_fan(first, second)
    rows = torch.randn(7, IN, dtype=torch.double, requires_grad=True)
    wanted = torch.cat([first(rows), second(rows)], dim=1)
    gradient = torch.randn_like(wanted)
    right = torch.autograd.grad(wanted, [rows, *ours.parameters], gradient)
    hidden = rows.detach()
    inner = ours.inner(hidden)
    torch.testing.assert_close(ours.product(hidden, inner, None), wanted.detach(), rtol=1e-5, atol=1e-5)
    of_each = [
        torch.zeros_like(one) if more is None else more.inner @ more.up.T
        for one, more in zip((first(hidden), second(hidden)), ours.added_to_each(inner), strict=True)
    ]
    added = ours.added(inner)
    assert added is not None
    torch.testing.assert_close(torch.cat(of_each, dim=1), added.inner @ added.up.T)
    of_inner = ours.to_inner(gradient)
    assert of_inner is not None
    found = [
        ours.to_input(gradient, of_inner, None),
        *ours.of_parameters(of_inner.T @ hidden, gradient, inner, lambda: hidden),
    ]
    for one, gradient in zip(found, right, strict=True):
        torch.testing.assert_close(one, gradient, rtol=1e-5, atol=1e-5)


def test_padding_changes_nothing_but_the_widths() -> None:
    first, _ = layers()
    rows, gradient = torch.randn(7, IN, dtype=torch.double), torch.randn(7, FIRST, dtype=torch.double)
    plain, padded = as_fan(first), as_fan(first, pad=Pad(inputs=2, outputs=4))

    def widened(matrix: Tensor, more: int) -> Tensor:
        return torch.cat([matrix, torch.zeros(len(matrix), more, dtype=matrix.dtype)], dim=1)

    out = padded.product(widened(rows, 2), padded.inner(widened(rows, 2)), None)
    torch.testing.assert_close(out, widened(plain.product(rows, plain.inner(rows), None), 4))
    wide = widened(gradient, 4)
    of_rows = padded.to_input(wide, padded.to_inner(wide), None)
    torch.testing.assert_close(of_rows, widened(plain.to_input(gradient, plain.to_inner(gradient), None), 2))
    inner = padded.inner(widened(rows, 2))
    down, up = padded.of_parameters(torch.ones(2, IN + 2), wide, inner, lambda: widened(rows, 2))
    assert down.shape == (2, IN)
    assert up.shape == (FIRST, 2)


@pytest.mark.parametrize(
    "settings",
    [{"r": 200}, {"lora_dropout": 0.1}, {"use_dora": True}],
    ids=lambda one: next(iter(one)),
)
def test_adapters_of_another_make_are_refused(settings: dict[str, Any]) -> None:
    assert fan(layers(**settings), Copies(), torch.double) is None


def test_a_layer_that_is_trained_or_in_another_precision_is_refused() -> None:
    first, second = layers()
    assert fan([first, second], Copies(), torch.bfloat16) is None
    for weight in second.parameters():
        weight.requires_grad_(True)
    assert fan([first, second], Copies(), torch.double) is None
