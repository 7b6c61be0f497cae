from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from transformers import AutoConfig, AutoModelForCausalLM

from tests.model.fixtures import logits, tiny
from tunesmith.errors import ModelError
from tunesmith.kernels.modules import own_name
from tunesmith.model.adapters import Shape, has_adapter, put_on, quietly, refuse_other_shape

QUERIES = ["model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj"]
UPS = ["model.layers.0.mlp.up_proj", "model.layers.1.mlp.up_proj"]


def config(targets: list[str], rank: int = 4, alpha: int = 8, **settings: object) -> LoraConfig:
    return LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, **settings)  # type: ignore[arg-type]


def test_an_adapter_is_recognised_on_a_model_and_a_plain_model_has_none(tmp_path: Path) -> None:
    model = tiny(tmp_path).model
    assert not has_adapter(model)
    assert has_adapter(put_on(model, {"language": config(QUERIES)}, seed=0))


def test_a_new_adapter_changes_no_answer_and_begins_the_same_for_the_same_seed(tmp_path: Path) -> None:
    plain = logits(tiny(tmp_path))
    states = []
    for seed in (1, 1, 2):
        loaded = tiny(tmp_path)
        torch.rand(seed)  # whatever was drawn before
        after = torch.get_rng_state()
        loaded.model = put_on(loaded.model, {"language": config(QUERIES)}, seed)
        assert torch.equal(torch.get_rng_state(), after)
        torch.testing.assert_close(logits(loaded), plain, rtol=0, atol=0)
        states.append(get_peft_model_state_dict(loaded.model))
    first, again, other = states
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_each_part_gets_its_own_rank_and_scale_on_its_own_layers_only(tmp_path: Path) -> None:
    configs = {"attention": config(QUERIES, rank=2, alpha=8), "blocks": config(UPS, rank=8, alpha=4)}
    model = put_on(tiny(tmp_path).model, configs, seed=0)
    ranks = {
        name.partition(".lora_A")[0].removeprefix("base_model.model."): len(weight)
        for name, weight in get_peft_model_state_dict(model).items()
        if ".lora_A" in name
    }
    assert ranks == dict.fromkeys(QUERIES, 2) | dict.fromkeys(UPS, 8)
    scales = {
        own_name(name): layer.scaling["default"]
        for name, layer in model.named_modules()
        if isinstance(layer, LoraLayer)
    }
    assert scales == dict.fromkeys(QUERIES, 4.0) | dict.fromkeys(UPS, 0.5)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("lora_dropout", (0.0, 0.1)),
        ("use_dora", (False, True)),
        ("use_rslora", (False, True)),
        ("bias", ("none", "all")),
    ],
)
def test_what_one_adapter_has_only_once_cannot_differ_between_parts(
    tmp_path: Path, name: str, values: tuple[object, object]
) -> None:
    model = tiny(tmp_path).model
    one, other = values
    configs = {"attention": config(QUERIES, **{name: one}), "blocks": config(UPS, **{name: other})}
    with pytest.raises(ModelError, match=rf"differ in {name} \(attention {one}, blocks {other}\)"):
        put_on(model, configs, seed=0)
    assert not has_adapter(model)


@pytest.mark.parametrize(
    ("asked", "difference"),
    [
        ({"rank": 8}, "had rank 4 and scale 2, now rank 8 and scale 1"),
        ({"alpha": 4}, "had rank 4 and scale 2, now rank 4 and scale 1"),
        ({"use_rslora": True}, "had rank 4 and scale 2, now rank 4 and scale 4"),
        ({"use_dora": True}, "use_dora was False, now True"),
        ({"bias": "all"}, "bias was none, now all"),
        ({"targets": UPS}, "layers had an adapter"),
        ({"targets": [*QUERIES, *UPS]}, "2 layers had an adapter, now 4"),
    ],
)
def test_an_earlier_adapter_of_another_shape_is_refused_with_the_difference(
    tmp_path: Path, asked: dict[str, object], difference: str
) -> None:
    model = put_on(tiny(tmp_path).model, {"language": config(QUERIES)}, seed=0)
    with pytest.raises(ModelError, match=rf"another shape \(.*({difference}).*set start: new"):
        refuse_other_shape(model, {"language": config(**{"targets": QUERIES, **asked})})  # type: ignore[arg-type]


def test_an_earlier_adapter_of_the_same_shape_may_be_gone_on_with(tmp_path: Path) -> None:
    model = put_on(tiny(tmp_path).model, {"language": config(QUERIES)}, seed=0)
    assert refuse_other_shape(model, {"language": config(QUERIES, lora_dropout=0.3)}) is None


def test_only_what_peft_cannot_help_is_kept_quiet() -> None:
    with quietly():
        warnings.warn("`is_gradient_checkpointing` is deprecated", FutureWarning, stacklevel=1)
        with pytest.raises(FutureWarning, match="something else"):
            warnings.warn("something else", FutureWarning, stacklevel=1)


def test_a_shape_is_told_in_words() -> None:
    assert str(Shape(8, 2.0)) == "rank 8 and scale 2"


@pytest.mark.filterwarnings("ignore:The following .*_pattern keys did not match:RuntimeWarning")
def test_where_peft_puts_adapters_on_experts_instead_the_targets_to_set_are_named(tmp_path: Path) -> None:
    settings = AutoConfig.for_model(
        "qwen3_moe", vocab_size=64, hidden_size=32, intermediate_size=32, moe_intermediate_size=16,
        num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2, head_dim=16, num_experts=4,
        num_experts_per_tok=2, mlp_only_layers=[0],
    )  # fmt: skip
    for targets in (["up_proj"], ["gate_proj", "up_proj", "down_proj"]):
        model, named = (
            AutoModelForCausalLM.from_config(settings),
            [f"model.layers.0.mlp.{one}" for one in targets],
        )
        with pytest.raises(ModelError, match=r"stages\.parts: PEFT .* set targets: attention"):
            put_on(model, {"language": config(named)}, seed=0)
    assert has_adapter(
        put_on(AutoModelForCausalLM.from_config(settings), {"language": config(QUERIES)}, seed=0)
    )
