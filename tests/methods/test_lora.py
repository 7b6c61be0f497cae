from __future__ import annotations

import pytest
from pydantic import ValidationError
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from tunesmith.errors import ModelError
from tunesmith.methods.lora import Lora

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
MLP = ["gate_proj", "up_proj", "down_proj"]


@pytest.fixture(scope="module")
def part() -> dict[str, nn.Module]:
    return modules("qwen2")


def modules(model_type: str, **settings: object) -> dict[str, nn.Module]:
    sizes = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0}
    config = AutoConfig.for_model(model_type, **{**sizes, **heads, **settings})
    return {name: module for name, module in AutoModelForCausalLM.from_config(config).named_modules() if name}


def short(names: list[str]) -> set[str]:
    return {name.rpartition(".")[2] for name in names}


@pytest.mark.parametrize(
    ("targets", "expected"), [("attention", ATTENTION), ("mlp", MLP), ("all", ATTENTION + MLP)]
)
def test_words_stand_for_the_linear_layers_of_every_block(
    targets: str, expected: list[str], part: dict[str, nn.Module]
) -> None:
    names = Lora.model_validate({"targets": targets}).target_modules(part)
    assert short(names) == set(expected)
    assert len(names) == 2 * len(expected)


def test_words_hold_for_other_architectures_too() -> None:
    assert short(Lora(targets="attention").target_modules(modules("phi3"))) == {"qkv_proj", "o_proj"}
    gpt2 = modules("gpt2", num_hidden_layers=1)
    assert set(Lora(targets="all").target_modules(gpt2)) == {
        f"transformer.h.0.{name}" for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    }


def test_names_and_expressions_choose_layers(part: dict[str, nn.Module]) -> None:
    assert short(Lora(targets=["q_proj", "lm_head"]).target_modules(part)) == {"q_proj", "lm_head"}
    first = Lora(targets=[r"model\.layers\.0\..*_proj"]).target_modules(part)
    assert len(first) == 7
    assert all(name.startswith("model.layers.0.") for name in first)
    assert Lora(targets=["layers.1.mlp.up_proj"]).target_modules(part) == ["model.layers.1.mlp.up_proj"]


def test_a_target_that_matches_nothing_is_refused_with_what_could(part: dict[str, nn.Module]) -> None:
    with pytest.raises(ModelError) as raised:
        Lora(targets=["q_proj", "qproj", "vision"]).adapter(part)
    assert str(raised.value) == (
        "targets: 'qproj', 'vision' matches no layer of this part (down_proj, embed_tokens, gate_proj, "
        "k_proj, lm_head, o_proj, q_proj, up_proj, v_proj). Did you mean 'q_proj'?"
    )
    with pytest.raises(ModelError, match=r"targets: 'attention' matches no layer of this part \(dense\)"):
        Lora(targets="attention").adapter({"dense": nn.Linear(2, 2)})


def test_settings_that_cannot_be_are_refused_when_the_file_is_read() -> None:
    with pytest.raises(ValidationError, match=r"'\(' is neither a name nor a regular expression"):
        Lora(targets=["("])
    with pytest.raises(ValidationError, match="names no layer"):
        Lora(targets=[])


def test_peft_is_told_what_the_settings_say(part: dict[str, nn.Module]) -> None:
    config = Lora(
        rank=8,
        alpha=24,
        dropout=0.1,
        targets="attention",
        bias="lora",
        rslora=True,
        dora=True,
        init="gaussian",
    ).adapter(part)
    assert (config.r, config.lora_alpha, config.lora_dropout, config.bias) == (8, 24, 0.1, "lora_only")
    assert (config.use_rslora, config.use_dora, config.init_lora_weights) == (True, True, "gaussian")
    assert len(config.target_modules) == 8


def test_biases_are_those_of_the_targets_or_of_the_part(part: dict[str, nn.Module]) -> None:
    assert Lora().weights(part) == []
    assert Lora(targets=["q_proj", "o_proj"], bias="lora").weights(part) == [
        f"model.layers.{layer}.self_attn.q_proj.bias" for layer in (0, 1)
    ]
    assert len(Lora(targets=["o_proj"], bias="all").weights(part)) == 6


def mixture(model_type: str) -> dict[str, nn.Module]:
    sizes = {"moe_intermediate_size": 16, "num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2}
    return modules(model_type, **sizes, shared_expert_intermediate_size=16, head_dim=8)


@pytest.mark.parametrize(
    ("model_type", "adapted", "experts"),
    [
        ("qwen3_moe", {*ATTENTION}, "model.layers.0.mlp.experts.down_proj"),
        ("qwen2_moe", {*ATTENTION, *MLP}, "model.layers.0.mlp.experts.down_proj"),
        ("phimoe", {*ATTENTION}, "model.layers.0.mlp.experts.down_proj"),
    ],
)
def test_routers_get_no_adapters_and_experts_are_named_as_left_out(
    model_type: str, adapted: set[str], experts: str
) -> None:
    part = mixture(model_type)
    assert short(Lora().target_modules(part)) == adapted
    assert experts in Lora().left_out(part)
    assert Lora(targets="attention").left_out(part) == []


def test_nothing_is_left_out_of_a_dense_model_whatever_its_layers_are_called(
    part: dict[str, nn.Module],
) -> None:
    assert Lora().left_out(part) == []
    opt = modules("opt", ffn_dim=64, word_embed_proj_dim=32)
    assert short(Lora().target_modules(opt)) == {"q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"}
