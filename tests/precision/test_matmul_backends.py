"""Layers of one input as one product: which are, whose gradients are had, and what exists once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from tunesmith.precision.formats import frozen_matmul
from tunesmith.precision.formats.nf4_fp8 import Nf4Fp8
from tunesmith.precision.fp8_linear import Fp8Linear
from tunesmith.precision.matmul_backends import (
    NO_PADDING,
    DenseMatmul,
    Nf4Fp8Matmul,
    Nf4Matmul,
    Padding,
    trained_matmul,
)

IN, FIRST, SECOND = 6, 4, 10


def layers(*sizes: int, **settings: Any) -> list[Any]:
    torch.manual_seed(0)
    return [nn.Linear(IN, size, **settings) for size in sizes]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("pad", [NO_PADDING, Padding(inputs=2, outputs=4)])
def test_layers_that_are_trained_have_gradients_of_their_own(pad: Padding, bias: bool) -> None:
    both = layers(FIRST, SECOND, bias=bias)
    rows = torch.randn(7, IN, requires_grad=True)
    wanted = torch.cat([functional.pad(one(rows), (0, pad.outputs)) for one in both], 1)
    gradient = torch.randn_like(wanted)
    weights = [weight for one in both for weight in one.parameters()]
    right = torch.autograd.grad(wanted, [rows, *weights], gradient)
    ours = trained_matmul(both, pad)
    assert ours is not None
    assert ours.parameters == weights
    with torch.no_grad():
        given = functional.pad(rows, (0, pad.inputs))
        copy = ours.cast_weight(torch.float32)
        torch.testing.assert_close(ours.forward(given, copy), wanted)
        found = [DenseMatmul(copy, None).backward(gradient)[:, :IN], *ours.param_grads(gradient, given)]
    for one, wished in zip(found, right, strict=True):
        torch.testing.assert_close(one, wished)


def test_layers_of_which_some_are_trained_are_refused() -> None:
    first, second = layers(4, 4)
    (third,) = layers(4, bias=False)
    second.requires_grad_(False)
    for those in ([first, second], [second, first], [first, third], [first.half()]):
        assert trained_matmul(those, NO_PADDING) is None


def test_weights_side_by_side_exist_once_and_still_are_the_layers_own() -> None:
    both = layers(FIRST, SECOND, dtype=torch.double)
    before = [one.weight.detach().clone() for one in both]
    frozen_matmul(both, torch.double, NO_PADDING)
    storages = {one.weight.untyped_storage().data_ptr() for one in both}
    assert len(storages) == 1
    assert both[0].weight.untyped_storage().nbytes() == 8 * IN * (FIRST + SECOND)
    for one, weight in zip(both, before, strict=True):
        torch.testing.assert_close(one.weight.detach(), weight)
    again = frozen_matmul(both, torch.double, NO_PADDING)
    assert again is not None
    assert {one.weight.untyped_storage().data_ptr() for one in both} == storages
    rows = torch.randn(3, IN, dtype=torch.double)
    torch.testing.assert_close(again.forward(rows), torch.cat([one(rows) for one in both], dim=1).detach())


def test_padded_weights_exist_once_and_still_are_the_layers_own() -> None:
    both = layers(FIRST, SECOND, bias=False, dtype=torch.double)
    before = [one.weight.detach().clone() for one in both]
    for _ in range(2):
        padded = frozen_matmul(both, torch.double, Padding(inputs=2, outputs=4))
        assert isinstance(padded, DenseMatmul)
        storages = {one.weight.untyped_storage().data_ptr() for one in both}
        assert storages == {padded.weight.untyped_storage().data_ptr()}
        for one, weight in zip(both, before, strict=True):
            torch.testing.assert_close(one.weight.detach(), weight)
        rows = torch.randn(3, IN + 2, dtype=torch.double)
        each = (functional.pad(one(rows[:, :IN]), (0, 4)) for one in both)
        torch.testing.assert_close(padded.forward(rows), torch.cat(list(each), dim=1).detach())


def test_layers_with_weights_of_two_kinds_are_refused() -> None:
    (first,) = layers(FIRST, dtype=torch.double)
    assert frozen_matmul([first, nn.Bilinear(IN, IN, FIRST).double()], torch.double, NO_PADDING) is None
    assert frozen_matmul([first], torch.bfloat16, NO_PADDING) is None


def test_layers_in_4_bits_can_be_one_product_in_8() -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes")
    torch.manual_seed(0)
    model = nn.ModuleList(
        bitsandbytes.nn.Linear4bit(128, width, bias=False, quant_type="nf4") for width in (32, 16)
    ).to("cpu")
    rows, gradient = torch.randn(40, 128).bfloat16(), torch.randn(40, 48).bfloat16()
    four = frozen_matmul(list(model), torch.bfloat16, NO_PADDING)
    assert Nf4Fp8().mark(model) == 2
    eight = frozen_matmul(list(model), torch.bfloat16, NO_PADDING)
    assert isinstance(four, Nf4Matmul)
    assert isinstance(eight, Nf4Fp8Matmul)
    for ours, wanted in (
        (eight.forward(rows), four.forward(rows)),
        (eight.backward(gradient), four.backward(gradient)),
    ):
        assert 0 < (ours - wanted).norm() / wanted.norm() < 0.06


def test_layers_in_8_bits_are_one_product_too() -> None:
    torch.manual_seed(0)
    plain = [nn.Linear(32, 16).bfloat16(), nn.Linear(32, 48, bias=False).bfloat16()]
    small = [Fp8Linear(one, torch.device("cpu"), uses_fp8=True) for one in plain]
    rows, gradient = torch.randn(5, 32).bfloat16().requires_grad_(), torch.randn(5, 64).bfloat16()
    wanted = torch.cat([one(rows) for one in small], dim=1)
    (right,) = torch.autograd.grad(wanted, rows, gradient)
    ours = frozen_matmul(small, torch.bfloat16, NO_PADDING)
    assert ours is not None
    torch.testing.assert_close(ours.forward(rows.detach()), wanted.detach())
    # A row has one scale for both gradients, and the sum is rounded once.
    torch.testing.assert_close(ours.backward(gradient), right, rtol=0.1, atol=0.1)
