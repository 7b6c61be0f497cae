from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, PreTrainedTokenizerBase

from tests.tiny import tiny_model, tiny_tokenizer
from tunesmith.config.experiment import Model
from tunesmith.errors import ModelError
from tunesmith.model import trial
from tunesmith.model.families import family_of
from tunesmith.model.load import load_family
from tunesmith.model.trial import refuse_inexact

LONGROPE = {
    "rope_type": "longrope",
    "short_factor": [1.0] * 48,
    "long_factor": [float(i + 1) for i in range(48)],
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    return tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def tried(tokenizer: PreTrainedTokenizerBase, model_type: str, **settings: Any) -> None:
    """Try an architecture in the sizes of its published models."""
    refuse_inexact(family_of(model_type)(tokenizer, AutoConfig.for_model(model_type, **settings)))


@pytest.mark.parametrize(
    ("model_type", "settings"),
    [
        ("llama", {}),
        ("llama", {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4}}),
        ("mistral", {"sliding_window": 4096}),
        ("granite", {"attention_multiplier": 0.0078125, "residual_multiplier": 0.22, "logits_scaling": 8.0}),
        ("smollm3", {}),
        ("olmo2", {}),
        ("phi3", {"sliding_window": 2047}),
        ("glm4", {}),
        ("cohere2", {}),
        ("gemma", {}),
        ("gemma3_text", {}),
        ("gpt2", {}),
        ("qwen2_moe", {}),
        ("phimoe", {"sliding_window": None}),
        ("deepseek_v3", {}),
        ("afmoe", {}),
    ],
)
def test_architectures_whose_packed_batches_are_exact_are_accepted(
    model_type: str, settings: dict[str, Any], tokenizer: PreTrainedTokenizerBase
) -> None:
    tried(tokenizer, model_type, **settings)


@pytest.mark.parametrize(
    ("model_type", "settings", "message"),
    [
        ("qwen2_moe", {"use_sliding_window": True}, "qwen2_moe make attention masks of their own"),
        ("phimoe", {"sliding_window": 2047}, "phimoe make attention masks of their own"),
        ("doge", {}, "doge (make attention masks of their own|are not causal)"),
        ("phi3", {"rope_parameters": LONGROPE, "max_position_embeddings": 131072}, "rotary positions"),
        ("qwen2", {"rope_parameters": LONGROPE, "max_position_embeddings": 131072}, "rotary positions"),
        ("gemma2", {}, "attention with a soft cap on its scores"),
        ("gpt_oss", {}, "attention with attention sinks"),
        ("stablelm", {}, "do not pass on to attention where packed examples end"),
        ("bloom", {}, "have attention code of their own"),
        ("bert", {}, "not causal language models: what they predict depends on later tokens"),
        ("bart", {}, "bart mix examples that are packed together: .* by up to"),
        ("mamba", {}, "layers of mamba"),
        ("qwen3_next", {}, "layers of linear_attention"),
        ("nemotron_h", {}, "layers of linear_attention"),
        (
            "deepseek_v2",
            {},
            r"cannot be tried, because a tiny model of this architecture does not run \(topk",
        ),
    ],
)
def test_architectures_that_differ_from_transformers_are_refused_by_what_differs(
    model_type: str, settings: dict[str, Any], message: str, tokenizer: PreTrainedTokenizerBase
) -> None:
    with pytest.raises(ModelError, match=rf"^model\.path: .*{message}.* Use .*Qwen") as raised:
        tried(tokenizer, model_type, **settings)
    assert "\n" not in str(raised.value)


def test_a_model_is_tried_when_it_is_loaded_and_once_in_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_model(tmp_path, "phimoe", sliding_window=16)
    settings = Model(path=str(folder), device="cpu")
    state = torch.random.get_rng_state()
    with pytest.raises(ModelError, match="phimoe make attention masks of their own") as first:
        load_family(settings)
    assert torch.equal(torch.random.get_rng_state(), state)
    monkeypatch.setattr(trial, "AutoModelForCausalLM", None)
    with pytest.raises(ModelError) as second:
        load_family(settings)
    assert str(second.value) == str(first.value)
