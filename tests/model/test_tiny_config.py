from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tunesmith.model.tiny_config import tiny_config


def test_a_large_mixture_becomes_small_and_keeps_what_its_layers_are_made_of() -> None:
    config = AutoConfig.for_model("qwen3_moe", mlp_only_layers=[0], num_key_value_heads=4)
    small = tiny_config(config)
    model = AutoModelForCausalLM.from_config(small)
    assert sum(weight.numel() for weight in model.parameters()) < 1e6
    first, second = (list(dict(layer.mlp.named_children())) for layer in model.model.layers[:2])
    assert ("experts" in first, "experts" in second) == (False, True)
    assert (small.num_attention_heads, small.num_key_value_heads) == (4, 2)
    assert config.num_hidden_layers == 24


@pytest.mark.parametrize(
    ("model_type", "settings", "kinds"),
    [
        ("gemma3_text", {}, {"sliding_attention", "full_attention"}),
        (
            "qwen2",
            {
                "num_hidden_layers": 40,
                "use_sliding_window": True,
                "layer_types": ["full_attention"] * 30 + ["sliding_attention"] * 10,
            },
            {"sliding_attention", "full_attention"},
        ),
    ],
)
def test_every_kind_of_layer_is_left_and_windows_are_short(
    model_type: str, settings: dict[str, Any], kinds: set[str]
) -> None:
    small = tiny_config(AutoConfig.for_model(model_type, **settings))
    assert set(small.layer_types) == kinds
    assert len(small.layer_types) == small.num_hidden_layers <= 12
    assert small.sliding_window == 8


def test_rotary_frequencies_fit_the_new_heads() -> None:
    factors = [1.0 + number for number in range(48)]
    rope = {"rope_type": "longrope", "short_factor": factors, "long_factor": factors, "rope_theta": 1e4}
    config = AutoConfig.for_model("phi3", rope_parameters=rope, max_position_embeddings=131072)
    small = tiny_config(config)
    assert len(small.rope_parameters["long_factor"]) == 8
    assert small.original_max_position_embeddings == 16
    tokens = torch.randint(small.vocab_size, (1, 40))
    assert AutoModelForCausalLM.from_config(small)(tokens).logits.isfinite().all()
    partial = tiny_config(AutoConfig.for_model("gpt_neox", hidden_size=512, num_attention_heads=4))
    assert partial.rope_parameters["partial_rotary_factor"] == 0.25
