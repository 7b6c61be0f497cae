from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from tests.model.fixtures import logits, tiny, train
from tests.tiny import tiny_model
from tunesmith.config.experiment import Model
from tunesmith.errors import ModelError
from tunesmith.methods.lora import Lora
from tunesmith.model.load import load
from tunesmith.model.saving import save_result
from tunesmith.model.trainable import make_trainable


def refused(message: str, path: object, **settings: object) -> None:
    with pytest.raises(ModelError, match=message) as raised:
        load(Model.model_validate({"path": str(path), "device": "cpu", **settings}))
    assert "\n" not in str(raised.value)


def test_a_folder_loads_in_bf16_frozen_and_ready_to_answer(tmp_path: Path) -> None:
    loaded = load(Model(path=str(tiny_model(tmp_path)), device="cpu"))
    assert {weight.dtype for weight in loaded.model.parameters()} == {torch.bfloat16}
    assert not any(weight.requires_grad for weight in loaded.model.parameters())
    assert not loaded.model.training
    assert (loaded.attention, loaded.compute, loaded.device.type) == ("sdpa", torch.bfloat16, "cpu")
    assert logits(loaded).isfinite().all()


def test_fp32_gives_the_files_own_numbers(tmp_path: Path) -> None:
    loaded = tiny(tmp_path)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "base-qwen2")
    for name, weight in plain.named_parameters():
        assert torch.equal(weight, loaded.model.get_parameter(name))


@pytest.mark.parametrize("weights", ["nf4", "int8", "fp8"])
def test_quantised_weights_answer_nearly_as_the_full_ones_also_after_evaluation(
    weights: str, tmp_path: Path
) -> None:
    full, quantised = tiny(tmp_path), tiny(tmp_path, weights=weights)
    reference, answered = logits(full), logits(quantised)
    assert 0 < (answered - reference).norm() / reference.norm() < 0.3
    trainable = make_trainable(quantised, {"language": Lora(rank=4)}, seed=0)
    before = train(trainable, steps=12, rate=3e-3)
    logits(trainable.loaded)
    after = train(trainable, steps=12, rate=3e-3)
    assert after[-1] < before[-1] < before[0]


def test_fp8_is_one_copy_in_8_bits_of_every_frozen_linear_layer_and_of_nothing_else(tmp_path: Path) -> None:
    plain, loaded = tiny(tmp_path, weights="bf16"), tiny(tmp_path, weights="fp8")
    layers = {
        name: module
        for name, module in plain.model.named_modules()
        if isinstance(module, torch.nn.Linear) and name != "lm_head"
    }
    small = {f"{name}.weight" for name in layers}
    found = dict(loaded.model.named_parameters())
    assert {name for name, weight in found.items() if weight.dtype == torch.float8_e4m3fn} == small
    for name, weight in plain.model.named_parameters():
        if name not in small:
            assert torch.equal(found[name], weight)
    held = {tensor.data_ptr(): tensor.nbytes for tensor in loaded.model.state_dict().values()}
    others = sum(weight.nbytes for name, weight in plain.model.named_parameters() if name not in small)
    numbers = [layer.weight.shape for layer in layers.values()]
    assert sum(held.values()) == others + sum(rows * columns + 4 * rows for rows, columns in numbers)
    assert loaded.notes[-1].startswith("weights: fp8, 14 layers (products in ")
    assert not [note for note in plain.notes if note.startswith("weights")]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_fp8_without_a_gpu_runs_and_says_that_it_is_slower(tmp_path: Path) -> None:
    assert tiny(tmp_path, weights="fp8").notes[-1] == (
        "weights: fp8, 14 layers (products in bf16, which is slower: it needs a GPU, this is cpu)"
    )


def test_layers_at_the_ends_of_many_are_not_multiplied_in_8_bits(tmp_path: Path) -> None:
    model = load(Model(path=str(tiny_model(tmp_path, layers=8)), weights="fp8")).model
    layers = model.get_submodule("model.layers").children()
    kinds = [{weight.dtype for weight in layer.get_submodule("mlp").parameters()} for layer in layers]
    assert kinds == [*[{torch.bfloat16}] * 2, *[{torch.float8_e4m3fn}] * 4, *[{torch.bfloat16}] * 2]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_nf4_without_a_gpu_is_not_multiplied_in_8_bits_and_says_so(tmp_path: Path) -> None:
    loaded, plain = (tiny(tmp_path, weights=weights) for weights in ("nf4-fp8", "nf4"))
    assert loaded.notes[-1] == (
        "weights: nf4 (products in bf16, which is slower: it needs a GPU, this is cpu)"
    )
    assert torch.equal(logits(loaded), logits(plain))


def test_checkpointing_gives_the_same_gradients(tmp_path: Path) -> None:
    losses = {
        checkpointing: train(
            make_trainable(tiny(tmp_path, checkpointing=checkpointing), {"language": Lora()}, seed=0)
        )
        for checkpointing in (False, True)
    }
    assert losses[True] == pytest.approx(losses[False], abs=1e-6)
    assert losses[True][-1] < losses[True][0]


def test_a_stage_starts_from_the_adapter_that_another_left(tmp_path: Path) -> None:
    trainable = make_trainable(tiny(tmp_path), {"language": Lora(rank=4)}, seed=0)
    train(trainable)
    save_result(trainable, tmp_path / "stage")
    settings = Model(path=str(tmp_path / "base-qwen2"), weights="fp32", device="cpu")
    again = load(settings, start=tmp_path / "stage")
    torch.testing.assert_close(logits(again), logits(trainable.loaded))
    assert not any(weight.requires_grad for weight in again.model.parameters())


def test_an_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    save_result(make_trainable(tiny(tmp_path), {"language": Lora()}, seed=0), tmp_path / "stage")
    other = Model(path=str(tiny_model(tmp_path / "other", hidden_size=32)), device="cpu")
    with pytest.raises(
        ModelError, match=r"stage/adapter: this adapter does not fit the model, or is damaged"
    ):
        load(other, start=tmp_path / "stage")


def test_a_folder_or_name_that_is_not_there_is_named(tmp_path: Path) -> None:
    refused("there is no folder .*/nowhere. Check the path", tmp_path / "nowhere")
    refused(r"Qwen/Qwen9-1B is no folder here, is not in the hub's cache, .* Check the name", "Qwen/Qwen9-1B")
    refused("Qwen/Qwen9-1B at revision v2 is no folder", "Qwen/Qwen9-1B", revision="v2")
    refused("there is no file .*model.gguf", tmp_path / "model.gguf")
    refused("the Python package no-such-package is not installed", "package:no-such-package")
    refused(r"the package numpy must hold one .gguf file, but holds none", "package:numpy")


def test_a_folder_that_holds_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    refused(r"has no config.json \(it has notes.txt\)", tmp_path)
    (tmp_path / "config.json").write_text("{")
    refused("config.json of .* cannot be read", tmp_path)


def test_code_of_the_models_own_is_not_run_unless_allowed(tmp_path: Path) -> None:
    tiny_model(tmp_path)
    ran = tmp_path / "ran"
    (tmp_path / "own.py").write_text(f"open({str(ran)!r}, 'w')\nclass Own: ...\n")
    config = {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    refused(
        "needs Python code that comes with it. If you trust it, set model.allow_remote_code: true", tmp_path
    )
    assert not ran.exists()


def test_pickled_weights_are_not_read_unless_allowed(tmp_path: Path) -> None:
    place = tiny_model(tmp_path)
    state = AutoModelForCausalLM.from_pretrained(place).state_dict()
    torch.save(state, place / "pytorch_model.bin")
    (place / "model.safetensors").unlink()
    refused("has only pickled weights .*set model.allow_pickle: true", place)
    loaded = load(Model(path=str(place), weights="fp32", device="cpu", allow_pickle=True))
    assert torch.equal(loaded.model.lm_head.weight, state["lm_head.weight"])


def test_damaged_or_incomplete_weights_are_refused(tmp_path: Path) -> None:
    place = tiny_model(tmp_path / "damaged")
    whole = (place / "model.safetensors").read_bytes()
    (place / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    refused(r"model\.safetensors of .* cannot be read", place)
    place = tiny_model(tmp_path / "incomplete")
    config = json.loads((place / "config.json").read_text())
    config.update(num_hidden_layers=3, layer_types=["full_attention"] * 3)
    (place / "config.json").write_text(json.dumps(config))
    refused(r"lack \d+ that its config.json asks for, such as model.layers.2", place)


def test_a_model_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    place = tiny_model(tmp_path)
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (place / file).unlink()
    refused("has no tokenizer that can be read", place)


def test_a_tokenizer_that_is_not_the_architectures_usual_one_splits_as_it_says(tmp_path: Path) -> None:
    place = tiny_model(tmp_path)
    stated = json.loads((place / "tokenizer_config.json").read_text())
    stated["tokenizer_class"] = "PreTrainedTokenizerFast"
    (place / "tokenizer_config.json").write_text(json.dumps(stated))
    made = json.loads((place / "tokenizer.json").read_text())
    made["pre_tokenizer"] = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }
    (place / "tokenizer.json").write_text(json.dumps(made))
    loaded = load(Model(path=str(place), device="cpu"))
    own = PreTrainedTokenizerFast.from_pretrained(place)
    assert loaded.family.tokenizer("one\n\n\ntwo  2").input_ids == own("one\n\n\ntwo  2").input_ids


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused(tmp_path: Path) -> None:
    refused("cuda was asked for, but PyTorch finds no GPU", tiny_model(tmp_path), device="cuda")


def test_a_finished_stage_stands_in_for_the_base_even_if_that_is_gone(tmp_path: Path) -> None:
    place = tiny_model(tmp_path / "base")
    shutil.move(place, tmp_path / "stage" / "model")
    settings = Model(path=str(place), weights="fp32", device="cpu")
    assert load(settings, start=tmp_path / "stage").model.name_or_path == str(tmp_path / "stage" / "model")


@pytest.mark.parametrize(
    ("model_type", "architecture", "message"),
    [
        (
            "qwen3_5",
            "Qwen3_5ForConditionalGeneration",
            r"not supported\. Models that take pictures and are: Qwen2-VL",
        ),
        (
            "qwen3_vl_moe",
            "Qwen3VLMoeForConditionalGeneration",
            r"not supported.*for text alone use Qwen2\.5 or Qwen3",
        ),
        (
            "qwen2_5_omni",
            "Qwen2_5OmniForConditionalGeneration",
            r"not supported.*for text alone use Qwen2\.5 or Qwen3",
        ),
        (
            "gemma3",
            "Gemma3ForConditionalGeneration",
            r"takes more than text, and this family is not supported",
        ),
        ("t5", "T5ForConditionalGeneration", r"has an encoder and a decoder\. Use a causal language model"),
        ("bert", "BertForMaskedLM", r"is not a causal language model\. Use one, such as Qwen2\.5 or Qwen3"),
    ],
)
def test_models_of_another_kind_are_refused_by_what_they_are(
    model_type: str, architecture: str, message: str, tmp_path: Path
) -> None:
    folder = tiny_model(tmp_path / "model")
    config = AutoConfig.for_model(model_type)
    config.architectures = [architecture]
    config.save_pretrained(folder)
    refused(rf"is a {architecture} \(model_type {model_type}\).*{message}", folder)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        (
            {"quant_method": "gptq", "bits": 4},
            r"already quantised \(gptq\).*16-bit model .* model\.weights: nf4",
        ),
        ({"quant_method": "awq", "bits": 4}, r"already quantised \(awq\).*model\.weights: nf4"),
        ({"quant_method": "gptq", "bits": 8}, r"already quantised \(gptq\).*model\.weights: int8"),
        ({"load_in_4bit": True}, r"already quantised \(bitsandbytes\).*model\.weights: nf4"),
        ({"quant_method": "compressed-tensors"}, r"already quantised \(compressed-tensors\)"),
    ],
)
def test_a_quantised_checkpoint_is_refused_with_what_to_give_instead(
    stated: dict[str, object], message: str, tmp_path: Path
) -> None:
    folder = tiny_model(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": stated}))
    refused(message, folder)
