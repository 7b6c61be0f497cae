"""Linear layers in 8 bits: beside the layers that they were made from, and how much memory they take."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.model.fixtures import CONVERSATIONS, logits, tiny
from tests.precision.test_fp8_cast import DEVICES, error
from tunesmith.batching.collator import collate
from tunesmith.methods.lora import Lora
from tunesmith.model.loaded import LoadedModel
from tunesmith.model.trainable import make_trainable
from tunesmith.precision import fp8_linear
from tunesmith.precision.fp8_linear import (
    Fp8Linear,
    SharedCast,
    dequantize,
    dequantized_products,
    quantize,
    why_not,
)
from tunesmith.train.loss import answer_loss

CPU = torch.device("cpu")
SIZES = [(64, 128), (24, 20), (3420 // 4, 320)]


def layers(size: tuple[int, int], uses_fp8: bool, device: str, bias: bool = True) -> tuple[Any, Fp8Linear]:
    """A plain layer in bf16, and the same in 8 bits."""
    torch.manual_seed(0)
    plain = nn.Linear(*size, bias=bias).to(torch.bfloat16)
    small = Fp8Linear(plain, torch.device(device), uses_fp8)
    return plain.to(device).requires_grad_(False), small


def answer(
    layer: nn.Module, hidden: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Output and the input's gradient."""
    hidden = hidden.clone().requires_grad_()
    out = layer(hidden)
    (out.float() * weights).sum().backward()
    assert hidden.grad is not None
    return out.detach(), hidden.grad


def set_products(model: nn.Module, uses_fp8: bool) -> None:
    for module in model.modules():
        if isinstance(module, Fp8Linear):
            module.uses_fp8 = uses_fp8


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("uses_fp8", [False, True])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("bias", [False, True])
def test_output_and_gradient_are_near_the_plain_layers(
    device: str, uses_fp8: bool, size: tuple[int, int], bias: bool
) -> None:
    plain, small = layers(size, uses_fp8, device, bias)
    hidden = torch.randn(2, 9, size[0], device=device).bfloat16()
    weights = torch.randn(2, 9, size[1], device=device)
    wanted, of_wanted = answer(plain, hidden, weights)
    found, of_found = answer(small, hidden, weights)
    assert (found.dtype, of_found.dtype) == (torch.bfloat16, torch.bfloat16)
    assert 0 < error(found, wanted) < 0.045
    assert 0 < error(of_found, of_wanted) < 0.045


def test_rows_of_unlike_size_lose_nothing_to_one_another_also_in_the_gradient() -> None:
    plain, small = layers((64, 128), True, "cpu", bias=False)
    plain.weight.data *= torch.logspace(-4, 4, 128)[:, None].bfloat16()
    small = Fp8Linear(plain, CPU, True)
    hidden = torch.randn(9, 64).bfloat16()
    # Every output counts alike, so that small rows of the weight would be drowned by large ones.
    weights = torch.randn(9, 128) * torch.logspace(4, -4, 128)
    wanted, of_wanted = answer(plain, hidden, weights)
    found, of_found = answer(small, hidden, weights)
    assert max(error(*column) for column in zip(found.t(), wanted.t(), strict=True)) < 0.1
    assert error(of_found, of_wanted) < 0.045


@pytest.mark.parametrize("uses_fp8", [False, True])
def test_products_are_in_the_precision_that_autocast_asks_for(uses_fp8: bool) -> None:
    _, small = layers((64, 128), uses_fp8, "cpu")
    hidden = torch.randn(9, 64, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        out = small(hidden)
    out.float().sum().backward()
    assert (out.dtype, hidden.grad.dtype) == (torch.bfloat16, torch.float32)


@pytest.mark.parametrize("uses_fp8", [False, True])
def test_one_copy_in_8_bits_is_all_that_a_layer_keeps(uses_fp8: bool) -> None:
    _, small = layers((64, 128), uses_fp8, "cpu")
    kept = {name: tensor.nbytes for name, tensor in [*small.named_parameters(), *small.named_buffers()]}
    assert kept == {"weight": 64 * 128, "bias": 2 * 128, "scales": 4 * 128, "ones": 4 * 64}
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor), lambda one: one):
        small(torch.randn(9, 64, dtype=torch.bfloat16, requires_grad=True))
    assert not saved
    assert not any(weight.requires_grad for weight in small.parameters())


def test_no_product_is_made_for_an_input_without_a_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    _, small = layers((64, 128), True, "cpu")
    monkeypatch.setattr(fp8_linear, "transposed", lambda _: pytest.fail("a gradient that nobody asked for"))
    out = small(torch.randn(9, 64).bfloat16())
    assert not out.requires_grad


@pytest.mark.parametrize("uses_fp8", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_an_adapter_may_add_to_the_output_in_place(uses_fp8: bool, size: tuple[int, int]) -> None:
    _, small = layers(size, uses_fp8, "cpu")
    hidden = torch.randn(2, 3, size[0], requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        plain = small(hidden)
        added = small(hidden)
    added += 1
    assert torch.equal(added, plain + 1)
    added.float().square().sum().backward()
    assert hidden.grad is not None
    assert hidden.grad.any()


@pytest.mark.parametrize("uses_fp8", [False, True])
def test_no_token_and_a_single_one_are_answered(uses_fp8: bool) -> None:
    _, small = layers((64, 128), uses_fp8, "cpu")
    assert small(torch.randn(2, 0, 64).bfloat16()).shape == (2, 0, 128)
    assert small(torch.randn(64).bfloat16()).shape == (128,)


@contextmanager
def casts_counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, ...]]]:
    """The sizes of what is cast within."""
    sizes: list[tuple[int, ...]] = []
    cast = fp8_linear.cast_rows

    def counted(rows: torch.Tensor, *more: Any) -> Any:
        sizes.append(tuple(rows.shape))
        return cast(rows, *more)

    with monkeypatch.context() as patch:
        patch.setattr(fp8_linear, "cast_rows", counted)
        yield sizes


@pytest.mark.parametrize("adapted", [False, True])
def test_neighbours_share_the_cast_of_their_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, adapted: bool
) -> None:
    loaded = tiny(tmp_path, weights="fp8", device="cpu")
    if adapted:
        loaded = make_trainable(loaded, {"language": Lora(rank=2)}, seed=0).loaded
    set_products(loaded.model, True)
    with casts_counted(monkeypatch) as sizes:
        logits(loaded)
    # q, k and v share one, o has its own, gate and up share one, down has its own.
    assert len(sizes) == 2 * 4
    again = logits(loaded)
    for module in loaded.model.modules():
        if isinstance(module, Fp8Linear):
            module._shared = None
    assert torch.equal(logits(loaded), again)


def test_an_input_that_was_written_into_is_cast_again() -> None:
    last = SharedCast()
    hidden = torch.randn(4, 32)
    first = last.cast(hidden)
    assert last.cast(hidden) is first
    hidden.mul_(2)
    torch.testing.assert_close(last.cast(hidden).scales, 2 * first.scales)
    assert last.cast(torch.randn(4, 32)) is not first
    assert copy.deepcopy(last)._cast is None
    with torch.inference_mode():
        inner = torch.randn(4, 32)
        assert torch.equal(last.cast(inner).scales, fp8_linear.cast_rows(inner).scales)


def test_gradients_of_adapters_are_near_those_on_plain_weights(tmp_path: Path) -> None:
    def gradients(loaded: LoadedModel) -> dict[str, torch.Tensor]:
        trainable = make_trainable(loaded, {"language": Lora(rank=4)}, seed=0)
        torch.manual_seed(1)
        for name, weight in trainable.groups[0].parameters.items():
            if "lora_B" in name:
                nn.init.normal_(weight, std=0.02)
        set_products(trainable.loaded.model, True)
        batch = collate([loaded.family.render(conversation) for conversation in CONVERSATIONS])
        answer_loss(trainable.loaded, batch).backward()
        return {name: weight.grad for name, weight in trainable.groups[0].parameters.items()}

    wanted, found = (gradients(tiny(tmp_path, weights=weights, device="cpu")) for weights in ("bf16", "fp8"))
    whole = [torch.cat([grads[name].flatten() for name in wanted]) for grads in (found, wanted)]
    assert 0 < error(*whole) < 0.1
    assert torch.nn.functional.cosine_similarity(*whole, dim=0) > 0.99


def test_a_model_is_exchanged_and_back_with_the_weights_that_it_multiplied_with(tmp_path: Path) -> None:
    model = nn.ModuleDict({"a": nn.Linear(64, 20), "b": nn.ModuleDict({"c": nn.Linear(20, 64, bias=False)})})
    model = model.to(torch.bfloat16)
    first = {name: weight.clone() for name, weight in model.named_parameters()}
    quantize(model, ["a", "b.c"], CPU, uses_fp8=True)
    assert [type(module) for module in (model["a"], model["b"]["c"])] == [Fp8Linear, Fp8Linear]
    hidden = torch.randn(5, 64).bfloat16()
    with dequantized_products(model):
        wanted = model["a"](hidden)
    assert model["a"].uses_fp8
    again: Any = dequantize(model)
    assert {type(module) for module in (again["a"], again["b"]["c"])} == {nn.Linear}
    assert torch.equal(again["a"](hidden), wanted)
    for name, weight in again.named_parameters():
        assert weight.shape == first[name].shape
        assert error(weight, first[name]) < 0.04


def test_a_machine_that_cannot_multiply_in_8_bits_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    assert why_not(CPU) == "it needs a GPU, this is cpu"

    def eye(*_: object, **__: object) -> None:
        raise RuntimeError("torch._scaled_mm is only supported on newer devices.\nAt: somewhere")

    monkeypatch.setattr(torch, "eye", eye)
    assert why_not(torch.device("cuda")) == "torch._scaled_mm is only supported on newer devices"


@pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 9), reason="needs such a GPU"
)
def test_a_gpu_of_today_multiplies_in_8_bits() -> None:
    assert why_not(torch.device("cuda")) == ""
