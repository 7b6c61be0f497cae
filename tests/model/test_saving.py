from __future__ import annotations

import json
import shutil
from pathlib import Path

import peft
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.model.fixtures import CONVERSATIONS, logits, tiny, train
from tests.model.test_trainable import METHODS
from tests.tiny import tiny_model
from tunesmith.batching.collator import collate
from tunesmith.config.experiment import Model
from tunesmith.errors import ModelError
from tunesmith.methods.full import Full
from tunesmith.methods.lora import Lora
from tunesmith.model.load import load
from tunesmith.model.merging import merge
from tunesmith.model.saving import load_trained_state, save_model, save_result, trained_state
from tunesmith.model.trainable import Trainable, make_trainable

# What plain PEFT does in these tests: version 0.21 asks transformers for a property that 5.23 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def trained(folder: Path, method: object, **settings: object) -> Trainable:
    trainable = make_trainable(tiny(folder, **settings), {"language": method}, seed=0)
    train(trainable)
    return trainable


def base(folder: Path) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(folder / "base-qwen2")


def plain_logits(model: torch.nn.Module, trainable: Trainable) -> torch.Tensor:
    """What a model that knows nothing of tunesmith makes of the conversations."""
    batch = collate([trainable.loaded.family.render(conversation) for conversation in CONVERSATIONS])
    model.eval()
    with torch.no_grad():
        out = model(batch.tokens[None], position_ids=batch.positions, use_cache=False)
    return out.logits[0, batch.predicting]


@pytest.mark.parametrize("name", [name for name in METHODS if name != "full"])
def test_plain_peft_loads_the_adapter_and_answers_the_same(name: str, tmp_path: Path) -> None:
    trainable = trained(tmp_path, METHODS[name])
    save_result(trainable, tmp_path / "stage")
    assert [entry.name for entry in (tmp_path / "stage").iterdir()] == ["adapter"]
    again = PeftModel.from_pretrained(base(tmp_path), tmp_path / "stage" / "adapter")
    torch.testing.assert_close(plain_logits(again, trainable), logits(trainable.loaded), atol=1e-5, rtol=1e-5)
    stated = json.loads((tmp_path / "stage" / "adapter" / "adapter_config.json").read_text())
    assert stated["base_model_name_or_path"] == str(tmp_path / "base-qwen2")
    assert {tensor.dtype for tensor in adapter_tensors(tmp_path / "stage")} == {torch.float32}


def adapter_tensors(stage: Path) -> list[torch.Tensor]:
    return list(load_file(stage / "adapter" / "adapter_model.safetensors").values())


def test_a_fully_trained_model_is_a_complete_transformers_folder(tmp_path: Path) -> None:
    trainable = trained(tmp_path, Full())
    save_result(trainable, tmp_path / "stage")
    assert [entry.name for entry in (tmp_path / "stage").iterdir()] == ["model"]
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "stage" / "model")
    torch.testing.assert_close(plain_logits(again, trainable), logits(trainable.loaded), atol=1e-5, rtol=1e-5)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "stage" / "model")
    assert tokenizer.chat_template == trainable.loaded.family.tokenizer.chat_template
    assert tokenizer.eos_token == "<|im_end|>"
    assert "lm_head.weight" not in load_file(tmp_path / "stage" / "model" / "model.safetensors")


def test_a_model_trained_over_a_bf16_base_is_saved_in_bf16(tmp_path: Path) -> None:
    trainable = trained(tmp_path, Full(), weights="bf16")
    save_result(trainable, tmp_path / "stage")
    tensors = load_file(tmp_path / "stage" / "model" / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    assert "lm_head.weight" not in tensors
    stated = json.loads((tmp_path / "stage" / "model" / "config.json").read_text())
    assert stated["dtype"] == "bfloat16"
    settings = Model(path=str(tmp_path / "base-qwen2"), device="cpu")
    again = logits(load(settings, start=tmp_path / "stage"))
    torch.testing.assert_close(again, logits(trainable.loaded), atol=5e-2, rtol=0)


def test_what_is_saved_in_bf16_has_moved_even_if_it_moved_by_less_than_16_bits_tell_apart(
    tmp_path: Path,
) -> None:
    trainable = make_trainable(tiny(tmp_path, weights="bf16"), {"language": Full()}, seed=0)
    weights = {name: one for name, one in trained_state(trainable).items() if one.ndim > 1}
    before = {name: one.clone() for name, one in weights.items()}
    for name, weight in weights.items():
        weight *= 1.0005
        assert (weight.bfloat16().float() == before[name]).float().mean() > 0.9
    save_result(trainable, tmp_path / "left")
    saved = load_file(tmp_path / "left" / "model" / "model.safetensors")
    for name, weight in weights.items():
        assert saved[name].dtype == torch.bfloat16
        moved = (saved[name].float() - before[name]) * before[name].sign()
        assert moved.mean().item() == pytest.approx((weight - before[name]).abs().mean().item(), rel=0.2), (
            name
        )


def test_an_adapter_on_merged_weights_names_the_model_beside_it(tmp_path: Path) -> None:
    first = trained(tmp_path, Lora(rank=4))
    second = make_trainable(first.loaded, {"language": Lora(rank=2, start="new")}, seed=1)
    train(second)
    save_result(second, tmp_path / "stage")
    folder = tmp_path / "stage"
    again = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(folder / "model"), folder / "adapter"
    )
    torch.testing.assert_close(plain_logits(again, second), logits(second.loaded), atol=1e-5, rtol=1e-5)
    itself = peft.AutoPeftModelForCausalLM.from_pretrained(folder / "adapter")
    torch.testing.assert_close(plain_logits(itself, second), logits(second.loaded), atol=1e-5, rtol=1e-5)
    settings = Model(path=str(tmp_path / "base-qwen2"), weights="fp32", device="cpu")
    torch.testing.assert_close(
        logits(load(settings, start=folder)), logits(second.loaded), atol=1e-5, rtol=1e-5
    )


def test_an_adapter_gone_on_with_needs_no_copy_of_the_base(tmp_path: Path) -> None:
    first = trained(tmp_path, Lora(rank=4))
    second = make_trainable(first.loaded, {"language": Lora(rank=4)}, seed=1)
    save_result(second, tmp_path / "stage")
    assert [entry.name for entry in (tmp_path / "stage").iterdir()] == ["adapter"]


def test_an_adapter_on_an_earlier_stages_model_finds_it_again(tmp_path: Path) -> None:
    stages = tmp_path / "run" / "stages"
    settings = Model(path=str(tiny_model(tmp_path / "model")), weights="fp32", device="cpu")
    full = make_trainable(load(settings), {"language": Full()}, seed=0)
    train(full)
    save_result(full, stages / "one")
    adapted = make_trainable(load(settings, start=stages / "one"), {"language": Lora(rank=4)}, seed=0)
    train(adapted)
    save_result(adapted, stages / "two")
    stated = json.loads((stages / "two" / "adapter" / "adapter_config.json").read_text())
    assert stated["base_model_name_or_path"] == str(stages / "one" / "model")
    moved = (tmp_path / "run").rename(tmp_path / "moved") / "stages"
    again = load(settings, start=moved / "two")
    torch.testing.assert_close(logits(again), logits(adapted.loaded), atol=1e-5, rtol=1e-5)
    shutil.rmtree(moved / "one")
    with pytest.raises(ModelError, match=r"was trained on .*one/model, which is not there. Bring that stage"):
        load(settings, start=moved / "two")


@pytest.mark.parametrize("method", [Full(), Lora(rank=4, bias="all")])
def test_trained_weights_come_back_bit_for_bit(method: object, tmp_path: Path) -> None:
    trainable = trained(tmp_path, method)
    kept = {name: tensor.clone() for name, tensor in trained_state(trainable).items()}
    answered = logits(trainable.loaded)
    train(trainable)
    load_trained_state(trainable, kept)
    assert torch.equal(logits(trainable.loaded), answered)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in trained_state(trainable).items())


def test_weights_of_another_model_are_not_taken(tmp_path: Path) -> None:
    trainable = trained(tmp_path, Lora(rank=4))
    kept = dict(trained_state(trainable))
    name = next(iter(kept))
    with pytest.raises(ValueError, match=r"has shape \(1, 1\), not"):
        load_trained_state(trainable, {**kept, name: torch.zeros(1, 1)})
    del kept[name]
    with pytest.raises(KeyError, match="1 weight is on one side only"):
        load_trained_state(trainable, kept)


@pytest.mark.parametrize("method", [Full(), Lora()])
def test_a_full_disk_leaves_nothing_half_written(method: object, tmp_path: Path, monkeypatch) -> None:
    trainable = trained(tmp_path, method)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tunesmith.model.saving.whole_folder", full)
    with pytest.raises(ModelError, match=r"cannot be written \(.*No space left on device\). Make room"):
        save_result(trainable, tmp_path / "stage")
    assert not (tmp_path / "stage").exists()


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("lora", "fp32"),
        ("lora", "bf16"),
        ("lora", "nf4"),
        ("lora", "int8"),
        ("lora", "fp8"),
        ("dora", "fp32"),
        ("dora", "nf4"),
    ],
)
def test_a_merged_model_answers_as_base_and_adapter_did(name: str, weights: str, tmp_path: Path) -> None:
    trainable = trained(tmp_path, METHODS[name], weights=weights)
    answered = logits(trainable.loaded)
    merged = merge(trainable.loaded)
    save_model(merged, tmp_path / "merged")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype="auto")
    rounding = 1e-5 if weights == "fp32" else 5e-2
    assert (logits(merged) - answered).norm() / answered.norm() < rounding
    difference = plain_logits(again.float(), trainable) - answered
    assert difference.norm() / answered.norm() < rounding
    assert not any("lora" in key for key in again.state_dict())


def test_a_merge_that_changes_answers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainable = trained(tmp_path, Lora(rank=4))
    monkeypatch.setattr("tunesmith.model.merging._merged", lambda model: model.unload())
    with pytest.raises(
        ModelError, match=r"of the merged model gives something else than with its adapter \(.*%"
    ):
        merge(trainable.loaded)
