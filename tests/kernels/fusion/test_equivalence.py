"""Which architectures' decoder layers are exchanged, and which only look as if they could be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.kernels.fusion.test_patch import TEXT, compare, trainable_of
from tests.model.families.pictures import FAMILIES
from tests.tiny import tiny_model, tiny_seeing_model
from tunesmith.kernels.attention.packed import REGISTERED
from tunesmith.kernels.fusion.patch import apply_fused_layers
from tunesmith.kernels.modules import transformers_model


@pytest.mark.parametrize(
    ("model_type", "config", "number"),
    [
        ("granite", {"residual_multiplier": 0.2}, 0),
        ("helium", {"head_dim": 16}, 0),
        ("ernie4_5", {}, 0),
        ("smollm3", {"no_rope_layer_interval": 2}, 1),
    ],
)
def test_layers_of_the_same_parts_put_together_otherwise_stay_as_they_are(
    tmp_path: Path, model_type: str, config: dict[str, Any], number: int
) -> None:
    place = tiny_model(tmp_path / "model", model_type, **config)
    assert compare(place, TEXT, sees=False, most=1e-6) == number


@pytest.mark.parametrize("model_type", ["qwen2", "qwen3", *FAMILIES])
def test_a_gpus_attention_is_not_needed_to_know_a_layer(tmp_path: Path, model_type: str) -> None:
    make = tiny_seeing_model if model_type in FAMILIES else tiny_model
    trainable = trainable_of(make(tmp_path / "model", model_type), sees=False)
    inner = transformers_model(trainable.loaded.model)
    inner.set_attn_implementation(REGISTERED["varlen"])
    assert apply_fused_layers(inner, torch.float32) >= 2
    assert inner.config._attn_implementation == REGISTERED["varlen"]
