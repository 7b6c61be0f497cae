"""What a run left, used by transformers and PEFT alone: it must stop, and answer as `tunesmith predict` does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from PIL import Image
from safetensors import safe_open
from transformers import (
    AutoImageProcessor,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    GenerationConfig,
)

from tests.deploy.runs import trained
from tests.images.made import put, scene
from tests.pipeline.small import lora_stage, write_rows
from tests.tiny import tiny_model, tiny_seeing_model
from tunesmith import load_result, merge
from tunesmith.model.adapters import quietly

TEXTS = ["we saw the old hammer on the hill", "a plum", "the axe near the house"]
WRITES = {"engine": {"kind": "generate"}}
PLACEHOLDER = "<|image_pad|>"


def as_base_model(folder: Path) -> Path:
    """The model, with the end tokens of a base model: that of documents, which its chat template does not write."""
    end_of_document = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids("<|endoftext|>")
    for name in ("config.json", "generation_config.json"):
        stated = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(stated | {"eos_token_id": end_of_document}))
    stated = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(stated | {"eos_token": "<|endoftext|>"}))
    return folder


def written(model: Any, tokenizer: Any, inputs: dict[str, torch.Tensor], **given: Any) -> str:
    """What the model writes greedily; it must have stopped by itself, at the end of its turn."""
    most = 24
    out = model.eval().generate(**inputs, max_new_tokens=most, do_sample=False, **given)
    new = out[0, inputs["input_ids"].shape[1] :].tolist()
    assert len(new) < most
    assert tokenizer.convert_ids_to_tokens(new[-1]) == "<|im_end|>" == tokenizer.eos_token
    return str(tokenizer.decode(new, skip_special_tokens=True))


def asked(tokenizer: Any, text: str) -> dict[str, torch.Tensor]:
    messages = [{"role": "user", "content": f"Which? {text}"}]
    return dict(
        tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
    )


@pytest.fixture(scope="module", params=["lora", "full"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param) / "project"
    as_base_model(tiny_model(folder / "model"))
    write_rows(folder / "rows.jsonl")
    parts = {
        "language": {"kind": "lora", "rank": 16, "alpha": 32} if request.param == "lora" else {"kind": "full"}
    }
    return trained(folder, stages=[lora_stage(parts=parts, epochs=4)], evaluate=WRITES)


def test_a_base_model_that_learnt_to_chat_stops_and_answers_alike_in_transformers(
    run: Path, tmp_path: Path
) -> None:
    expected = [one.answer for one in load_result(run).predict({"text": text} for text in TEXTS)]
    whole = run / "stages" / "adapt" / "model"
    for folder in [merge(run, tmp_path / "merged"), *([whole] if whole.exists() else [])]:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert [written(model, tokenizer, asked(tokenizer, text)) for text in TEXTS] == expected
        assert model.config.eos_token_id == tokenizer.eos_token_id
        assert tokenizer.convert_tokens_to_ids("<|endoftext|>") in model.generation_config.eos_token_id


def test_an_adapter_brings_its_tokenizer_template_and_end_tokens(run: Path) -> None:
    folder = run / "stages" / "adapt" / "adapter"
    if not folder.exists():
        pytest.skip("a full model has no adapter")
    expected = [one.answer for one in load_result(run).predict({"text": text} for text in TEXTS)]
    base = AutoModelForCausalLM.from_pretrained(run.parents[2] / "model", dtype=torch.float32)
    with quietly():
        model = PeftModel.from_pretrained(base, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ends = GenerationConfig.from_pretrained(folder).eos_token_id
    assert [
        written(model, tokenizer, asked(tokenizer, text), eos_token_id=ends) for text in TEXTS
    ] == expected
    with safe_open(folder / "adapter_model.safetensors", "pt") as file:
        names = set(file.keys())
    layers = {
        f"base_model.model.model.layers.{layer}.{place}.lora_{half}.weight"
        for layer in range(2)
        for half in "AB"
        for place in (
            *(f"self_attn.{name}_proj" for name in "qkvo"),
            *(f"mlp.{name}_proj" for name in ("gate", "up", "down")),
        )
    }
    assert names == layers


@pytest.mark.slow
@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_a_model_that_sees_is_shown_pictures_in_the_sizes_of_training_and_answers_alike(
    family: str, tmp_path: Path
) -> None:
    parts = {"language": {"kind": "lora", "rank": 8}, "vision": {"kind": "lora", "rank": 8}}
    stage = lora_stage(parts=parts, epochs=6)
    model = {"path": "model", "weights": "fp32", "device": "cpu", "pixels": {"max": 8000}}
    folder = tiny_seeing_model(tmp_path / "project" / "model", family).parent
    with (folder / "rows.jsonl").open("w") as file:
        for number in range(80):
            label = ("dark", "light")[number % 2]
            blobs = scene(number, 120, 90).point(lambda value, low=255 * (number % 2): (value + low) // 2)
            put(folder / "photos" / f"{number}.png", blobs)
            file.write(json.dumps({"image": f"photos/{number}.png", "label": label}) + "\n")
    data = {
        "source": {"kind": "jsonl", "path": "rows.jsonl"},
        "split": {"holdout": 8, "validation": 0},
        "leaks": {"near": None, "pictures": None},
    }
    task = {"kind": "classify", "labels": ["dark", "light"], "pictures": ["image"], "prompt": "?"}
    run = trained(folder, stages=[stage], model=model, evaluate=WRITES, data=data, task=task)
    files = [put(tmp_path / f"{number}.png", scene(number, 200, 150 + 30 * number)) for number in range(2)]
    expected = [one.answer for one in load_result(run).predict({"image": str(file)} for file in files)]

    folder = merge(run, tmp_path / "merged")
    tokenizer, processor = AutoTokenizer.from_pretrained(folder), AutoImageProcessor.from_pretrained(folder)
    merged = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    adapter = run / "stages" / "adapt" / "adapter"
    base = AutoModelForImageTextToText.from_pretrained(tmp_path / "project" / "model", dtype=torch.float32)
    with quietly():
        adapted = PeftModel.from_pretrained(base, adapter)
    beside = AutoImageProcessor.from_pretrained(adapter)
    for whole, cut in ((merged, processor), (adapted, beside)):
        found = [written(whole, tokenizer, shown(tokenizer, cut, file)) for file in files]
        assert found == expected


def shown(tokenizer: Any, processor: Any, file: Path) -> dict[str, torch.Tensor]:
    """The question about a picture, as a processor makes it of its parts."""
    pixels = processor(Image.open(file), return_tensors="pt")
    count = int(pixels["image_grid_thw"][0].prod()) // processor.merge_size**2
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "?"}]}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    tokens = tokenizer(text.replace(PLACEHOLDER, PLACEHOLDER * count), return_tensors="pt")
    kinds = (tokens["input_ids"] == tokenizer.convert_tokens_to_ids(PLACEHOLDER)).int()
    return {**tokens, **pixels, "mm_token_type_ids": kinds}
