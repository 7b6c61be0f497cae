from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft.tuners.lora import LoraLayer
from torch import nn

from tests.model.fixtures import logits, tiny, train
from tests.tiny import tiny_seeing_model
from tunesmith.config.experiment import Model
from tunesmith.errors import ModelError
from tunesmith.kernels.modules import own_modules, own_name, transformers_model
from tunesmith.methods.lora import Lora
from tunesmith.model.adapters import has_adapter
from tunesmith.model.load import load
from tunesmith.model.loaded import LoadedModel
from tunesmith.model.merging import merge, refuse_other_answers
from tunesmith.model.probing import probe
from tunesmith.model.trainable import make_trainable
from tunesmith.precision.fp8_linear import Fp8Linear
from tunesmith.precision.quantize import is_quantised


def adapted(folder: Path, method: Lora, **settings: object) -> LoadedModel:
    """A model with an adapter that has learnt something."""
    trainable = make_trainable(tiny(folder, **settings), {"language": method}, seed=0)
    train(trainable)
    return trainable.loaded


def test_merged_weights_are_the_base_plus_the_scaled_product_and_nothing_else_changes(tmp_path: Path) -> None:
    loaded = adapted(tmp_path, Lora(rank=4, alpha=12, targets=["q_proj"]))
    expected = {}
    for name, module in own_modules(loaded.model).items():
        if isinstance(module, nn.Linear):
            expected[name] = module.weight.detach().clone()
    layers = {
        own_name(name): module
        for name, module in loaded.model.named_modules()
        if isinstance(module, LoraLayer)
    }
    for name, layer in layers.items():
        product = layer.lora_B["default"].weight @ layer.lora_A["default"].weight
        expected[name] = (layer.base_layer.weight + 12 / 4 * product).detach().clone()
    merged = merge(loaded)
    found = {name: module for name, module in merged.model.named_modules() if isinstance(module, nn.Linear)}
    assert len(layers) == 2
    assert found.keys() == expected.keys()
    for name, module in found.items():
        torch.testing.assert_close(module.weight, expected[name], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "method", [Lora(rank=4, dropout=0.5), Lora(rank=4, dora=True), Lora(rank=4, bias="all")]
)
def test_a_merged_model_answers_as_base_and_adapter_did_and_has_no_adapter(
    tmp_path: Path, method: Lora
) -> None:
    loaded = adapted(tmp_path, method)
    answered = logits(loaded)
    untrained = logits(tiny(tmp_path / "plain"))
    merged = merge(loaded)
    assert not has_adapter(merged.model)
    assert merged.model is transformers_model(merged.model)
    torch.testing.assert_close(logits(merged), answered, rtol=1e-4, atol=1e-4)
    assert (answered - untrained).abs().max() > 0.01


@pytest.mark.parametrize("weights", ["nf4", "fp8"])
def test_quantised_weights_are_merged_in_full_precision(weights: str, tmp_path: Path) -> None:
    loaded = adapted(tmp_path, Lora(rank=4), weights=weights)
    answered = logits(loaded)
    merged = merge(loaded)
    assert not is_quantised(merged.model)
    assert (logits(merged) - answered).norm() / answered.norm() < 0.05


def test_a_merge_that_would_change_answers_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = adapted(tmp_path, Lora(rank=4))
    monkeypatch.setattr("tunesmith.model.merging._merged", lambda model: model.unload())
    with pytest.raises(
        ModelError, match=r"_proj of the merged model gives something else .*use the adapter as"
    ):
        merge(loaded)


def test_an_adapter_that_is_left_out_of_one_layer_is_noticed_where_the_logits_hardly_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = adapted(tmp_path, Lora(rank=4), weights="bf16")

    def forgetful(model: nn.Module) -> nn.Module:
        next(layer for layer in model.modules() if isinstance(layer, LoraLayer)).set_scale("default", 0)
        return model.merge_and_unload()

    monkeypatch.setattr("tunesmith.model.merging._merged", forgetful)
    with pytest.raises(
        ModelError, match=r"layers\.0\.self_attn\.q_proj of the merged model gives something else"
    ):
        merge(loaded)


def zeroed(weight: nn.Parameter) -> None:
    weight.zero_()


def noisy(weight: nn.Parameter) -> None:
    weight.normal_()


@pytest.mark.parametrize("weights", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("part", "spoil"),
    [
        ("visual", zeroed),
        ("visual.merger", zeroed),
        ("visual.patch_embed", zeroed),
        ("visual.blocks", noisy),
        ("language_model.layers.1", noisy),
    ],
)
def test_a_merge_that_spoils_any_part_of_a_model_that_sees_is_noticed_by_its_answers(
    weights: str, part: str, spoil: Callable[[nn.Parameter], None], tmp_path: Path
) -> None:
    loaded = load(Model(path=str(tiny_seeing_model(tmp_path, "qwen2_5_vl")), weights=weights, device="cpu"))
    before = probe(loaded)
    refuse_other_answers(loaded, before)
    with torch.no_grad():
        for name, weight in loaded.model.named_parameters():
            if part in name:
                spoil(weight)
    with pytest.raises(ModelError, match=r"answers differently from base and adapter on (text|pictures)"):
        refuse_other_answers(loaded, before)


def test_a_merge_that_swaps_layers_without_an_adapter_is_noticed_by_their_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = adapted(tmp_path, Lora(rank=4, targets=["q_proj"]), weights="bf16")

    def swapping(model: nn.Module) -> nn.Module:
        merged = model.merge_and_unload()
        one, other = (layer.mlp for layer in transformers_model(merged).base_model.layers)
        one.up_proj, other.up_proj = other.up_proj, one.up_proj
        return merged

    monkeypatch.setattr("tunesmith.model.merging._merged", swapping)
    with pytest.raises(ModelError, match=r"other weights than it must have \(2 of \d+, such as .*up_proj"):
        merge(loaded)


def test_broken_weights_are_never_merged_in(tmp_path: Path) -> None:
    loaded = adapted(tmp_path, Lora(rank=4))
    next(weight for name, weight in loaded.model.named_parameters() if "lora_B" in name).data.fill_(torch.nan)
    with pytest.raises((ModelError, ValueError), match=r"differently|NaN"):
        merge(loaded)


def test_what_8_bits_round_in_products_is_no_reason_to_refuse_a_merge(
    tmp_path: Path,
) -> None:
    loaded = adapted(tmp_path, Lora(rank=4), weights="fp8")
    before = probe(loaded)
    for module in loaded.model.modules():
        if isinstance(module, Fp8Linear):
            module.uses_fp8 = True
    assert torch.equal(probe(loaded)["text"], before["text"])
    assert not torch.equal(logits(loaded), logits(adapted(tmp_path, Lora(rank=4), weights="fp8")))
    assert not is_quantised(merge(loaded).model)
