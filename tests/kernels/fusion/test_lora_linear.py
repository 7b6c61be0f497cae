"""Adapters as few products, beside PEFT's own forward pass and finite differences."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from tunesmith.kernels.fusion import lora_linear
from tunesmith.kernels.fusion.lora_linear import _AddLora, _LoraLinear


def model_of(bias: bool = True, **settings: Any) -> nn.Module:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(6, 5, bias=bias), nn.Tanh(), nn.Linear(5, 4, bias=bias))
    model = get_peft_model(plain, LoraConfig(r=2, lora_alpha=3, target_modules=["0", "2"], **settings))  # type: ignore[arg-type]
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight)
    return model


def answer(model: nn.Module, hidden: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    hidden = hidden.clone().requires_grad_()
    out = model(hidden)
    out.square().sum().backward()
    found = {name: weight.grad for name, weight in model.named_parameters() if weight.requires_grad}
    return out.detach(), found | {"hidden": hidden.grad}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_output_and_gradients_are_pefts(bias: bool, dtype: torch.dtype) -> None:
    hidden = torch.randn(2, 3, 6)
    model = model_of(bias)
    with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
        out, wanted = answer(model, hidden)
        model.zero_grad()
        lora_linear.apply_lora_forward(model)
        ours, found = answer(model, hidden)
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 0.1, "atol": 0.2}
    torch.testing.assert_close(ours, out, **tolerance)
    for name, gradient in wanted.items():
        assert found[name].dtype == gradient.dtype
        torch.testing.assert_close(found[name], gradient, msg=name, **tolerance)


def test_gradients_are_those_of_finite_differences() -> None:
    torch.manual_seed(0)
    weights = [torch.randn(4, 6, dtype=torch.double), torch.randn(4, dtype=torch.double)]
    down, up = (torch.randn(size, dtype=torch.double, requires_grad=True) for size in ((2, 6), (4, 2)))
    hidden = torch.randn(2, 3, 6, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda *given: _LoraLinear.apply(given[0], *weights, *given[1:], 1.5), (hidden, down, up)
    )
    out = torch.randn(2, 3, 4, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda *given: _AddLora.apply(given[0] * 1.0, *given[1:], 1.5), (out, hidden, down, up)
    )


def test_dropout_drops_the_adapters_input_only() -> None:
    model = model_of(lora_dropout=0.5)
    hidden = torch.randn(50, 6)
    torch.manual_seed(1)
    out, wanted = answer(model, hidden)
    model.zero_grad()
    lora_linear.apply_lora_forward(model)
    torch.manual_seed(1)
    ours, found = answer(model, hidden)
    torch.testing.assert_close(ours, out)
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, msg=name)
    model.eval()
    assert torch.equal(model(hidden), model(hidden))


class GivesBackWhatCameIn(nn.Linear):
    """As layers in 4 bits do: products in bf16, the answer in the precision of the input."""

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return super().forward(hidden).to(hidden.dtype)


def test_a_norm_in_fp32_before_a_quantised_layer_does_not_break_training() -> None:
    model = model_of(bias=False)
    for layer in (model.base_model.model[0], model.base_model.model[2]):  # type: ignore[union-attr, index]
        layer.base_layer.__class__ = GivesBackWhatCameIn
    found = []
    for exchanged in (False, True):
        if exchanged:
            lora_linear.apply_lora_forward(model)
        model.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = model(torch.ones(3, 6))
        # Gradients are computed without autocast, as they are on a GPU.
        out.float().square().sum().backward()
        found.append([weight.grad for weight in model.parameters() if weight.requires_grad])
    torch.testing.assert_close(found[1], found[0], rtol=0.1, atol=0.2)


def test_a_magnitude_of_its_own_keeps_pefts_forward_pass() -> None:
    model = model_of(use_dora=True)
    lora_linear.apply_lora_forward(model)
    assert not [module for module in model.modules() if "forward" in vars(module)]


def test_a_merged_or_switched_off_adapter_is_left_to_peft() -> None:
    model: Any = model_of()
    hidden = torch.randn(3, 6)
    lora_linear.apply_lora_forward(model)
    with model.disable_adapter():
        plain = model(hidden)
    with_adapter = model(hidden)
    assert not torch.allclose(plain, with_adapter)
    model.merge_adapter()
    torch.testing.assert_close(model(hidden), with_adapter)
