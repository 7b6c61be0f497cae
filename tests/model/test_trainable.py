from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.model.fixtures import logits, tiny, train
from tests.tiny import tiny_model
from tunesmith.config.experiment import Model
from tunesmith.errors import ModelError
from tunesmith.kernels.modules import own_modules
from tunesmith.methods import Method
from tunesmith.methods.frozen import Frozen
from tunesmith.methods.full import Full
from tunesmith.methods.lora import Lora
from tunesmith.model.families.qwen2 import Qwen2
from tunesmith.model.load import load
from tunesmith.model.loaded import LoadedModel
from tunesmith.model.trainable import Trainable, make_trainable
from tunesmith.runs.stage import TrainedPart

METHODS: dict[str, Method] = {
    "full": Full(),
    "lora": Lora(rank=4, targets="all"),
    "lora attention": Lora(rank=4, targets="attention", dropout=0.1),
    "lora bias lora": Lora(rank=4, targets=["q_proj"], bias="lora"),
    "lora bias all": Lora(rank=4, targets=["o_proj"], bias="all"),
    "rslora": Lora(rank=4, rslora=True, init="gaussian"),
    "dora": Lora(rank=4, dora=True),
}


class TwoParts(Qwen2):
    """A family whose blocks are one part and the rest another."""

    def parts(self, model: nn.Module) -> dict[str, dict[str, nn.Module]]:
        modules = own_modules(model)
        blocks = {name: module for name, module in modules.items() if ".layers.0." in name}
        return {"first": blocks, "rest": {name: modules[name] for name in modules.keys() - blocks.keys()}}


def two_parts(folder: Path, **settings: object) -> LoadedModel:
    loaded = tiny(folder, **settings)
    loaded.family.__class__ = TwoParts
    return loaded


def moved(trainable: Trainable) -> set[str]:
    """Names of all weights that a few updates change."""
    model = trainable.loaded.model
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    train(trainable)
    return {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}


def wrapped(names: Mapping[str, Tensor], trainable: Trainable) -> set[str]:
    """The names that these weights have in the model as it is."""
    ids = {id(weight) for weight in names.values()}
    return {name for name, weight in trainable.loaded.model.named_parameters() if id(weight) in ids}


def state(loaded: LoadedModel) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}


@pytest.mark.parametrize("model_type", ["qwen2", "qwen3", "llama"])
@pytest.mark.parametrize("name", METHODS)
def test_training_moves_exactly_the_weights_that_the_method_names(
    name: str, model_type: str, tmp_path: Path
) -> None:
    loaded = tiny(tmp_path, model_type)
    trainable = make_trainable(loaded, {"language": METHODS[name]}, seed=0)
    (group,) = trainable.groups
    expected = wrapped(group.parameters, trainable)
    assert {n for n, weight in trainable.loaded.model.named_parameters() if weight.requires_grad} == expected
    # A bias on keys adds the same to all scores of a query, so its gradient is nothing but rounding.
    assert {n for n in moved(trainable) ^ expected if "k_proj" not in n or "bias" not in n} == set()
    assert {weight.dtype for weight in group.parameters.values()} == {torch.float32}


def test_lora_opens_adapters_on_the_targets_and_nothing_else(tmp_path: Path) -> None:
    trainable = make_trainable(
        tiny(tmp_path), {"language": Lora(rank=4, targets=["q_proj", "up_proj"])}, seed=0
    )
    layers = [
        f"model.layers.{layer}.{name}" for layer in (0, 1) for name in ("self_attn.q_proj", "mlp.up_proj")
    ]
    expected = {f"{layer}.lora_{side}.default.weight" for layer in layers for side in "AB"}
    assert trainable.groups[0].parameters.keys() == expected


def test_lora_finds_its_layers_in_deep_models_too(tmp_path: Path) -> None:
    loaded = load(Model(path=str(tiny_model(tmp_path, layers=4)), weights="fp32", device="cpu"))
    (group,) = make_trainable(loaded, {"language": Lora(rank=2)}, seed=0).groups
    assert len(group.parameters) == 4 * 7 * 2


def test_full_opens_every_weight_and_counts_a_tied_head_once(tmp_path: Path) -> None:
    loaded = tiny(tmp_path)
    number = sum(weight.numel() for weight in loaded.model.parameters())
    trainable = make_trainable(loaded, {"language": Full(learning_rate=1e-5)}, seed=0)
    assert trainable.groups[0].learning_rate == 1e-5
    assert trainable.groups[0].parameters.keys() == dict(loaded.model.named_parameters()).keys()
    assert trainable.summary == (
        TrainedPart("language", "full", trained=number, total=number, share=1.0, bytes=4 * number),
    )


@pytest.mark.parametrize("weights", ["fp32", "bf16", "nf4", "fp8"])
def test_the_summary_counts_weights_whatever_they_are_stored_in(weights: str, tmp_path: Path) -> None:
    number = sum(weight.numel() for weight in tiny(tmp_path).model.parameters())
    loaded = tiny(tmp_path, weights=weights)
    (summary,) = make_trainable(loaded, {"language": Lora(rank=2, targets=["q_proj"])}, seed=0).summary
    trained = 2 * 2 * (64 + 64)
    assert (summary.method, summary.trained, summary.bytes) == ("lora", trained, 4 * trained)
    assert summary.total == number + trained
    assert summary.share == pytest.approx(trained / (number + trained))


def test_frozen_base_weights_stay_in_bf16_beside_fp32_adapters(tmp_path: Path) -> None:
    trainable = make_trainable(tiny(tmp_path, weights="bf16"), {"language": Lora(bias="lora")}, seed=0)
    model = trainable.loaded.model
    assert all(
        weight.dtype == (torch.float32 if weight.requires_grad else torch.bfloat16)
        for weight in model.parameters()
    )
    losses = train(trainable, steps=10, rate=3e-3)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    "methods",
    [
        {"first": Lora(rank=4, bias="all"), "rest": Frozen()},
        {"rest": Lora(rank=4, bias="all", targets=["q_proj"])},
        {"first": Full()},
        {"first": Lora(rank=4, bias="lora"), "rest": Full()},
        {"first": Lora(rank=4), "rest": Lora(rank=8, alpha=8, targets=["q_proj"])},
    ],
)
def test_parts_never_leak_into_each_other(methods: dict[str, Method], tmp_path: Path) -> None:
    loaded = two_parts(tmp_path)
    trainable = make_trainable(loaded, methods, seed=0)
    parts = {group.part: group.parameters for group in trainable.groups}
    assert all(".layers.0." in name for name in parts.get("first", {}))
    assert not any(".layers.0." in name for name in parts.get("rest", {}))
    expected = set().union(*(wrapped(weights, trainable) for weights in parts.values()))
    assert {n for n in moved(trainable) ^ expected if "k_proj" not in n or "bias" not in n} == set()
    assert [entry.part for entry in trainable.summary] == ["first", "rest"]
    for entry in trainable.summary:
        assert entry.trained == sum(weight.numel() for weight in parts.get(entry.part, {}).values())


def test_parts_keep_their_own_rank_and_scale(tmp_path: Path) -> None:
    methods = {"first": Lora(rank=4, alpha=8, targets="mlp"), "rest": Lora(rank=2, alpha=2, targets="mlp")}
    trainable = make_trainable(two_parts(tmp_path), methods, seed=0)
    layers = dict(trainable.loaded.model.named_modules())
    first = layers["base_model.model.model.layers.0.mlp.up_proj"]
    rest = layers["base_model.model.model.layers.1.mlp.up_proj"]
    assert (first.r["default"], first.scaling["default"]) == (4, 2)
    assert (rest.r["default"], rest.scaling["default"]) == (2, 1)


def test_adapters_begin_the_same_for_the_same_seed_and_change_nothing_at_first(tmp_path: Path) -> None:
    base = logits(tiny(tmp_path))
    made = {
        key: make_trainable(tiny(tmp_path), {"language": Lora(rank=4)}, seed=seed)
        for key, seed in {"one": 1, "again": 1, "two": 2}.items()
    }
    weights = {key: trainable.groups[0].parameters for key, trainable in made.items()}
    name = "model.layers.0.mlp.up_proj.lora_A.default.weight"
    assert torch.equal(weights["one"][name], weights["again"][name])
    assert not torch.equal(weights["one"][name], weights["two"][name])
    torch.testing.assert_close(logits(made["one"].loaded), base)


def test_the_same_adapter_is_gone_on_with(tmp_path: Path) -> None:
    method = {"language": Lora(rank=4)}
    first = make_trainable(tiny(tmp_path), method, seed=0)
    train(first)
    before = state(first.loaded)
    second = make_trainable(first.loaded, method, seed=5)
    assert all(torch.equal(tensor, before[name]) for name, tensor in state(second.loaded).items())
    assert not second.loaded.changed
    assert moved(second) == wrapped(second.groups[0].parameters, second)


def test_going_on_with_an_adapter_of_another_shape_is_refused_with_the_difference(tmp_path: Path) -> None:
    loaded = make_trainable(tiny(tmp_path), {"language": Lora(rank=4, targets="mlp")}, seed=0).loaded
    for method, difference in {
        Lora(rank=8, targets="mlp"): "had rank 4 and scale 8, now rank 8 and scale 4",
        Lora(rank=4, targets="all"): "6 layers had an adapter, now 14",
        Lora(rank=4, targets="mlp", dora=True): "use_dora was False, now True",
    }.items():
        with pytest.raises(ModelError, match=rf"another shape \(.*{difference}.*set start: new to merge"):
            make_trainable(loaded, {"language": method}, seed=0)


@pytest.mark.parametrize("method", [Lora(rank=2, start="new"), Full()])
def test_an_earlier_adapter_is_merged_before_new_training(method: Method, tmp_path: Path) -> None:
    first = make_trainable(tiny(tmp_path), {"language": Lora(rank=4)}, seed=0)
    train(first)
    answered = logits(first.loaded)
    second = make_trainable(first.loaded, {"language": method}, seed=0)
    assert second.loaded.changed
    torch.testing.assert_close(logits(second.loaded), answered, atol=1e-4, rtol=1e-4)
    assert moved(second) >= {
        n for n in wrapped(second.groups[0].parameters, second) if "k_proj.bias" not in n
    }


@pytest.mark.parametrize("weights", ["nf4", "fp8"])
def test_an_earlier_adapter_is_never_merged_into_quantised_weights(weights: str, tmp_path: Path) -> None:
    loaded = make_trainable(tiny(tmp_path, weights=weights), {"language": Lora(rank=4)}, seed=0).loaded
    with pytest.raises(
        ModelError, match=r"merged into quantised weights.*Use start: continue, or model.weights: bf16"
    ):
        make_trainable(loaded, {"language": Lora(start="new")}, seed=0)


@pytest.mark.parametrize("weights", ["nf4", "int8", "fp8"])
@pytest.mark.parametrize("method", [Full(), Lora(bias="all")])
def test_quantised_weights_cannot_be_trained(method: Method, weights: str, tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"stages.parts.language: quantised weights .*Use kind: lora with bias: none"
    ):
        make_trainable(tiny(tmp_path, weights=weights), {"language": method}, seed=0)


@pytest.mark.parametrize("weights", ["int8", "fp8"])
def test_dora_is_refused_on_weights_with_scales_where_it_breaks(weights: str, tmp_path: Path) -> None:
    with pytest.raises(
        ModelError,
        match=r"stages.parts.language.dora: .*int8 and fp8.*Use dora: false, or model.weights: nf4",
    ):
        make_trainable(tiny(tmp_path, weights=weights), {"language": Lora(dora=True)}, seed=0)


def test_adapters_on_fp8_weights_begin_as_those_on_bf16_ones(tmp_path: Path) -> None:
    begun = [
        make_trainable(tiny(tmp_path, weights=weights), {"language": Lora(rank=4)}, seed=3)
        .groups[0]
        .parameters
        for weights in ("bf16", "fp8")
    ]
    assert begun[0].keys() == begun[1].keys()
    assert all(torch.equal(weight, begun[1][name]) for name, weight in begun[0].items())


def test_a_part_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as raised:
        make_trainable(tiny(tmp_path), {"languge": Full(), "vision": Full()}, seed=0)
    assert str(raised.value) == (
        "stages.parts.languge: the model has no such part (language). Did you mean 'language'?\n"
        "stages.parts.vision: the model has no such part (language)."
    )


def test_a_target_that_matches_nothing_names_the_part(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"stages.parts.language.targets: 'q_prj' matches no layer .*'q_proj'"
    ):
        make_trainable(tiny(tmp_path), {"language": Lora(targets=["q_prj"])}, seed=0)


def test_training_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nothing is trained \(language: frozen\)"):
        make_trainable(tiny(tmp_path), {"language": Frozen()}, seed=0)


def test_parts_that_cannot_share_one_adapter_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"differ in lora_dropout \(first 0.0, rest 0.1\)"):
        make_trainable(two_parts(tmp_path), {"first": Lora(), "rest": Lora(dropout=0.1)}, seed=0)
    loaded = make_trainable(two_parts(tmp_path), {"first": Lora(), "rest": Lora()}, seed=0).loaded
    with pytest.raises(ModelError, match="first says continue, rest says new for `start`"):
        make_trainable(loaded, {"first": Lora(), "rest": Lora(start="new")}, seed=0)


def test_the_log_and_the_page_say_how_many_weights_of_experts_have_no_adapter(tmp_path: Path) -> None:
    sizes = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    folder = tiny_model(tmp_path, "qwen3_moe", **sizes)
    trainable = make_trainable(load(Model(path=str(folder), device="cpu")), {"language": Lora()}, seed=0)
    (note,) = [note for note in trainable.loaded.notes if note.startswith("language: lora leaves out")]
    experts = 2 * 4 * 3 * 16 * 64
    assert f"leaves out {experts:,} of " in note
    assert note.endswith("the experts (down_proj, gate_up_proj) cannot have adapters and stay as they are")
    layers = {name.rpartition(".")[0] for group in trainable.groups for name in group.parameters}
    assert all("self_attn" in layer for layer in layers)
