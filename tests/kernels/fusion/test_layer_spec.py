from __future__ import annotations

import torch
from torch import nn
from transformers.models.qwen3.modeling_qwen3 import Qwen3Config, Qwen3DecoderLayer

from tunesmith.kernels.fusion.layer_spec import (
    AttentionSpec,
    MlpSpec,
    NormSpec,
    child_names,
    described_modules,
)
from tunesmith.model.families.qwen3 import Qwen3


def test_a_model_yields_its_described_norms_and_both_halves_of_its_layers_and_nothing_else() -> None:
    config = Qwen3Config(hidden_size=32, intermediate_size=48, num_attention_heads=2, head_dim=16)
    model = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2), Qwen3DecoderLayer(config, 0))
    specs = list(described_modules(model, object.__new__(Qwen3)))
    kinds = [type(spec) for spec in specs]
    assert {kind: kinds.count(kind) for kind in kinds} == {AttentionSpec: 1, MlpSpec: 1, NormSpec: 4}


def test_children_keep_their_names_when_others_take_their_place() -> None:
    module = nn.ModuleDict({"up": nn.Linear(2, 2), "down": nn.Linear(2, 2)})
    assert child_names(module, [module["down"], module["up"]]) == ["down", "up"]


def test_only_a_norm_that_multiplies_by_its_weight_is_plain() -> None:
    norm = nn.RMSNorm(4)
    assert NormSpec(norm, 1e-6).is_plain_rms
    assert not NormSpec(norm, 1e-6, weight_offset=1.0).is_plain_rms
    assert not NormSpec(nn.LayerNorm(4), 1e-6, kind="layer").is_plain_rms
    assert torch.equal(NormSpec(norm, 1e-6).module.weight, norm.weight)
