"""What families say of their layers, held to the layers of transformers."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

from tunesmith.kernels.fusion.layer_spec import LayerSpec, MlpSpec, NormSpec
from tunesmith.model.families import family_of
from tunesmith.model.tiny_config import tiny_config

TEXT = ["qwen2", "qwen3", "llama", "mistral", "qwen2_moe", "qwen3_moe"]
VISION = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"]


@cache
def model_of(model_type: str) -> Any:
    """A small random model; of one with vision, the tower keeps its widths but has two blocks."""
    config = tiny_config(AutoConfig.for_model(model_type))
    if model_type in TEXT:
        return AutoModelForCausalLM.from_config(config)
    vision = {"depth": 2, "hidden_size": 32, "embed_dim": 32, "num_heads": 2, "intermediate_size": 48}
    for name, value in vision.items():
        if name in vars(config.vision_config):
            setattr(config.vision_config, name, value)
    return AutoModelForImageTextToText.from_config(config)


def described(model_type: str) -> list[LayerSpec]:
    family = object.__new__(family_of(model_type))
    specs = [family.layer_spec(module) for module in model_of(model_type).modules()]
    return [spec for spec in specs if spec is not None]


@pytest.mark.parametrize("model_type", TEXT + VISION)
def test_every_layer_of_the_text_model_is_described(model_type: str) -> None:
    config = model_of(model_type).config.get_text_config()
    causal = [spec.attention for spec in described(model_type) if spec.attention and spec.attention.is_causal]
    assert len(causal) == config.num_hidden_layers
    for attention in causal:
        assert (attention.num_heads, attention.num_kv_heads) == (
            config.num_attention_heads,
            config.num_key_value_heads,
        )
        assert attention.rotary.dim == attention.head_dim == attention.module.head_dim
        assert sum(attention.rotary.sections) in (0, attention.head_dim // 2)
        assert (attention.head_norms is not None) == model_type.startswith("qwen3")


@pytest.mark.parametrize("model_type", TEXT + VISION)
def test_norms_and_mlps_compute_what_their_description_says(model_type: str) -> None:
    family = object.__new__(family_of(model_type))
    norms = [family.norm_spec(module) for module in model_of(model_type).modules()]
    rms = [norm for norm in norms if norm is not None]
    assert rms
    mlps = [spec.mlp for spec in described(model_type) if spec.mlp is not None]
    assert bool(mlps) == ("moe" not in model_type)
    with torch.no_grad():
        for norm in rms:
            check_norm(norm)
        for mlp in mlps:
            check_mlp(mlp)


def check_norm(spec: NormSpec) -> None:
    spec.module.weight.copy_(torch.rand_like(spec.module.weight))
    x = torch.randn(3, len(spec.module.weight))
    weight = spec.module.weight + spec.weight_offset
    torch.testing.assert_close(spec.module(x), functional.rms_norm(x, weight.shape, weight, spec.eps))


def check_mlp(spec: MlpSpec) -> None:
    assert spec.is_swiglu
    gate, up = spec.projections
    x = torch.randn(3, gate.in_features)
    torch.testing.assert_close(spec.module(x), spec.output(functional.silu(gate(x)) * up(x)))


def test_windows_and_the_towers_blocks_are_described() -> None:
    config = tiny_config(AutoConfig.for_model("mistral", sliding_window=4096))
    layer = AutoModelForCausalLM.from_config(config).model.layers[0]
    spec = object.__new__(family_of("mistral")).layer_spec(layer)
    assert spec is not None
    assert spec.attention is not None
    assert spec.attention.window == 8
    blocks = {
        model_type: [
            spec for spec in described(model_type) if spec.attention and not spec.attention.is_causal
        ]
        for model_type in VISION
    }
    kinds = {name: {spec.attention.norm.kind for spec in specs} for name, specs in blocks.items()}  # type: ignore[union-attr]
    assert kinds == {"qwen2_vl": {"layer"}, "qwen2_5_vl": {"rms"}, "qwen3_vl": {"layer"}}
    assert all(len(specs) == 2 for specs in blocks.values())


def test_other_modules_have_no_description() -> None:
    family = object.__new__(family_of("olmo2"))
    layer = nn.ModuleDict({"input_layernorm": nn.RMSNorm(4), "mlp": nn.Linear(4, 4)})
    assert family.layer_spec(layer) is None
    assert family.norm_spec(layer["input_layernorm"]) is None
