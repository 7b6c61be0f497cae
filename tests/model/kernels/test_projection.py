"""Layers seen as products: which are, padded or not, beside the layers themselves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.nn import functional

from tunesmith.model.kernels.fp8 import Fp8Linear
from tunesmith.model.kernels.projection import NOTHING, Copies, Fan, Pad, fan

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
    torch.testing.assert_close(ours.product(hidden, inner), wanted.detach(), rtol=1e-5, atol=1e-5)
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
        ours.to_input(gradient, of_inner),
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

    out = padded.product(widened(rows, 2), padded.inner(widened(rows, 2)))
    torch.testing.assert_close(out, widened(plain.product(rows, plain.inner(rows)), 4))
    wide = widened(gradient, 4)
    of_rows = padded.to_input(wide, padded.to_inner(wide))
    torch.testing.assert_close(of_rows, widened(plain.to_input(gradient, plain.to_inner(gradient)), 2))
    inner = padded.inner(widened(rows, 2))
    down, up = padded.of_parameters(torch.ones(2, IN + 2), wide, inner, lambda: widened(rows, 2))
    assert down.shape == (2, IN)
    assert up.shape == (FIRST, 2)


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("pad", [NOTHING, Pad(inputs=2, outputs=4)])
def test_layers_that_are_trained_have_gradients_of_their_own(pad: Pad, has_bias: bool) -> None:
    torch.manual_seed(0)
    first, second = (nn.Linear(IN, size, bias=has_bias) for size in (FIRST, FIRST + 3))
    rows = torch.randn(7, IN, requires_grad=True)
    wanted = [functional.pad(one(rows), (0, pad.outputs)) for one in (first, second)]
    gradient = torch.randn(7, sum(one.shape[1] for one in wanted))
    right = torch.autograd.grad(
        torch.cat(wanted, 1), [rows, *first.parameters(), *second.parameters()], gradient
    )
    ours = fan([first, second], Copies(), torch.float32, pad)
    assert ours is not None
    with torch.no_grad():
        given = functional.pad(rows, (0, pad.inputs))
        torch.testing.assert_close(ours.product(given, None), torch.cat(wanted, 1))
        found = [
            ours.to_input(gradient, None)[:, :IN],
            *ours.of_parameters(None, gradient, None, lambda: given),
        ]
    for one, wished in zip(found, right, strict=True):
        torch.testing.assert_close(one, wished)
    assert [one.shape for one in ours.parameters] == [one.shape for one in found[1:]]


def test_layers_of_which_some_are_trained_are_refused() -> None:
    first, second, third = (
        nn.Linear(IN, 4),
        nn.Linear(IN, 4).requires_grad_(False),
        nn.Linear(IN, 4, bias=False),
    )
    for those in ([first, second], [second, first], [first, third], [first.half()]):
        assert fan(those, Copies(), torch.float32) is None


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


def test_weights_side_by_side_exist_once_and_still_are_the_layers_own() -> None:
    first, second = layers()
    bases: list[Any] = [first.get_base_layer(), second.get_base_layer()]  # type: ignore[operator]
    before = [base.weight.detach().clone() for base in bases]
    fan([first, second], Copies(), torch.double)
    storages = {base.weight.untyped_storage().data_ptr() for base in bases}
    assert len(storages) == 1
    assert bases[0].weight.untyped_storage().nbytes() == 8 * IN * (FIRST + SECOND)
    for base, weight in zip(bases, before, strict=True):
        torch.testing.assert_close(base.weight.detach(), weight)
    again = fan([first, second], Copies(), torch.double)
    assert again is not None
    assert {base.weight.untyped_storage().data_ptr() for base in bases} == storages
    rows = torch.randn(3, IN, dtype=torch.double)
    wanted = torch.cat([base(rows) for base in bases], dim=1)
    torch.testing.assert_close(again.base.forward(rows), wanted.detach())


def test_layers_with_weights_of_two_kinds_are_refused() -> None:
    first, _ = layers()
    assert (
        fan([first, nn.Bilinear(IN, IN, FIRST).double().requires_grad_(False)], Copies(), torch.double)
        is None
    )


def test_layers_in_8_bits_are_one_product_too() -> None:
    torch.manual_seed(0)
    plain = [nn.Linear(32, 16).bfloat16(), nn.Linear(32, 48, bias=False).bfloat16()]
    small = [Fp8Linear(one, torch.device("cpu"), in_eight_bits=True) for one in plain]
    rows, gradient = torch.randn(5, 32).bfloat16().requires_grad_(), torch.randn(5, 64).bfloat16()
    wanted = torch.cat([one(rows) for one in small], dim=1)
    (right,) = torch.autograd.grad(wanted, rows, gradient)
    ours = fan(small, Copies(), torch.bfloat16)
    assert ours is not None
    torch.testing.assert_close(ours.product(rows.detach(), None), wanted.detach())
    # A row has one scale for both gradients, and the sum is rounded once.
    torch.testing.assert_close(ours.to_input(gradient, None), right, rtol=0.1, atol=0.1)
