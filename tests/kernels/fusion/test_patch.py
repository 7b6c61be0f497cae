"""Fused layers: loss and every gradient compared with the plain layers, with PEFT's adapters or trained."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.model.families.pictures import FAMILIES, conversations
from tests.tiny import tiny_model, tiny_seeing_model
from tunesmith import kernels
from tunesmith.batching.collator import collate, to_device
from tunesmith.config.experiment import Model
from tunesmith.kernels.fusion import fused_layers
from tunesmith.kernels.fusion.layer_spec import LayerSpec, NormSpec, RotarySpec
from tunesmith.kernels.fusion.patch import FUSED, apply_fused_layers, iter_fused_layers
from tunesmith.kernels.modules import transformers_model
from tunesmith.kernels.ops.swiglu import swiglu
from tunesmith.methods import Method
from tunesmith.methods.full import Full
from tunesmith.methods.lora import Lora
from tunesmith.model.checkpointing import LEVELS, Level, checkpoint
from tunesmith.model.families import Family
from tunesmith.model.load import load
from tunesmith.model.loaded import LoadedModel
from tunesmith.model.saving import save_result
from tunesmith.model.trainable import Trainable, make_trainable
from tunesmith.precision import matmul_backends
from tunesmith.precision.matmul_backends import DenseMatmul, Nf4Matmul, TrainedMatmul
from tunesmith.records.conversation import Conversation, Turn
from tunesmith.train.loss import answer_loss

TEXT = [
    Conversation("a:1", (Turn.of("user", "What is 2 + 2?"),), "Four, as ever."),
    Conversation("a:2", (Turn.of("user", "Say something longer than that, please."),), "No."),
]
LORA: Method = Lora(rank=4, alpha=6)


def trainable_of(place: Path, sees: bool, method: Method = LORA, **settings: Any) -> Trainable:
    """A model with adapters that do something."""
    loaded = load(
        Model(path=str(place), **{"weights": "fp32", "attention": "sdpa", "device": "cpu"} | settings)
    )
    trainable = make_trainable(loaded, dict.fromkeys(["language"] + ["vision"] * sees, method), seed=0)
    torch.manual_seed(1)
    for group in trainable.groups:
        for name, weight in group.parameters.items():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.1)
    return trainable


def learnt(trainable: Trainable, asked: list[Conversation]) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of one batch."""
    loaded = trainable.loaded
    loaded.train()
    batch = to_device(collate([loaded.family.render(one) for one in asked]), loaded.device)
    loss = answer_loss(loaded, batch)
    loss.backward()  # type: ignore[no-untyped-call]
    found = {
        name: weight.grad
        for group in trainable.groups
        for name, weight in group.parameters.items()
        if weight.grad is not None
    }
    return loss.item(), found


def compare(
    place: Path, asked: list[Conversation], sees: bool, most: float, level: Level = "none", **settings: Any
) -> int:
    """Compare loss and gradients with and without fused layers; return how many layers were replaced."""
    plain, wanted = learnt(trainable_of(place, sees, **settings), asked)
    ours = trainable_of(place, sees, **settings)
    number = apply_fused_layers(ours.loaded.model, ours.loaded.family, ours.loaded.compute)
    checkpoint(ours.loaded.model, level)
    loss, found = learnt(ours, asked)
    assert loss == pytest.approx(plain, rel=most)
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        assert found[name].dtype == gradient.dtype
        error = (found[name] - gradient).norm() / gradient.norm()
        assert error < 10 * most, f"{name}: {error}"
    return number


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("model_type", ["qwen2", "qwen3", "llama"])
def test_loss_and_gradients_are_pefts(tmp_path: Path, model_type: str, level: Level) -> None:
    place = tiny_model(tmp_path / "model", model_type)
    assert compare(place, TEXT, sees=False, most=1e-6, level=level) == 2


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("model_type", ["qwen2", "qwen3", "llama"])
def test_loss_and_gradients_are_pytorchs_if_all_weights_are_trained(
    tmp_path: Path, model_type: str, level: Level
) -> None:
    place = tiny_model(tmp_path / "model", model_type)
    assert compare(place, TEXT, sees=False, most=1e-6, level=level, method=Full()) == 2


@pytest.mark.parametrize("method", [LORA, Full()], ids=str)
@pytest.mark.parametrize("model_type", FAMILIES)
def test_so_they_are_with_pictures(tmp_path: Path, model_type: str, method: Method) -> None:
    place = tiny_seeing_model(tmp_path / "model", model_type)
    number = compare(place, conversations(tmp_path), sees=True, most=1e-6, method=method)
    assert number == (4 if model_type == "qwen2_5_vl" else 2)  # its vision blocks have a gated MLP too


def test_so_they_are_on_weights_in_4_bits(tmp_path: Path) -> None:
    place = tiny_model(tmp_path / "model", "qwen3")
    assert compare(place, TEXT, sees=False, most=0.02, weights="nf4") == 2


def test_so_they_are_on_a_tower_in_4_bits_whose_widths_are_odd(tmp_path: Path) -> None:
    place = tiny_seeing_model(tmp_path / "model", "qwen2_5_vl")
    assert compare(place, conversations(tmp_path), sees=True, most=0.02, weights="nf4") == 4


def test_layers_with_only_some_adapters_are_exchanged_too(tmp_path: Path) -> None:
    place = tiny_model(tmp_path / "model", "qwen2")
    some = Lora(rank=4, alpha=6, targets=["q_proj", "down_proj"])
    assert compare(place, TEXT, sees=False, most=1e-6, method=some) == 2


def test_a_window_that_only_the_config_knows_is_kept_to(tmp_path: Path) -> None:
    place = tiny_model(tmp_path / "model", "mistral", sliding_window=8)
    assert compare(place, TEXT, sees=False, most=1e-6) == 2


@pytest.mark.parametrize(("model_type", "config"), [("gemma", {}), ("granite", {"residual_multiplier": 0.2})])
def test_layers_that_no_family_describes_run_unfused(
    tmp_path: Path, model_type: str, config: dict[str, Any]
) -> None:
    place = tiny_model(tmp_path / "model", model_type, **config)
    assert compare(place, TEXT, sees=False, most=1e-6) == 0


class Changed:
    """An architecture whose family says something else of its layers."""

    def __init__(self, family: Family, change: Callable[[LayerSpec], LayerSpec]) -> None:
        self.family, self.change = family, change

    def layer_spec(self, layer: torch.nn.Module) -> LayerSpec | None:
        spec = self.family.layer_spec(layer)
        return None if spec is None else self.change(spec)

    def norm_spec(self, norm: torch.nn.Module) -> NormSpec | None:
        return self.family.norm_spec(norm)


@pytest.mark.parametrize(
    "changed",
    [
        {"soft_cap": 50.0},
        {"has_sinks": True},
        {"has_output_gate": True},
        {"dropout": 0.1},
        {"rotary": RotarySpec(8)},
        {"rotary": RotarySpec(16, interleaved=True)},
        {"weight_offset": 1.0},
        {"activation": "gelu"},
        {},
    ],
    ids=str,
)
def test_a_layer_is_fused_only_if_all_that_its_family_says_is_computed(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    def change(spec: LayerSpec) -> LayerSpec:
        assert spec.attention is not None
        assert spec.mlp is not None
        if "activation" in changed:
            return replace(spec, mlp=replace(spec.mlp, **changed))
        if "weight_offset" in changed:
            return replace(
                spec, attention=replace(spec.attention, norm=replace(spec.attention.norm, **changed))
            )
        return replace(spec, attention=replace(spec.attention, **changed))

    loaded = load(Model(path=str(tiny_model(tmp_path / "model", "qwen2")), weights="fp32", device="cpu"))
    number = apply_fused_layers(loaded.model, Changed(loaded.family, change), torch.float32)
    assert number == (0 if changed else 2)


@pytest.mark.parametrize("sees", [False, True])
@pytest.mark.parametrize("second", [Full(), Lora(rank=2, start="new"), LORA], ids=str)
def test_a_later_stage_and_what_it_leaves_are_of_the_trained_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: Method, sees: bool
) -> None:
    monkeypatch.setattr(kernels, "choose", lambda *_: ("fused", "for this test"))
    make, model_type = (tiny_seeing_model, "qwen2_5_vl") if sees else (tiny_model, "qwen2")
    place, asked = make(tmp_path / "model", model_type), conversations(tmp_path) if sees else TEXT
    trainable = trainable_of(place, sees)
    update(trainable, asked)
    assert any(iter_fused_layers(trainable.loaded.model))
    parts = dict.fromkeys(["language"] + ["vision"] * sees, second)
    trainable = make_trainable(trainable.loaded, parts, seed=0)
    assert any(iter_fused_layers(trainable.loaded.model))
    update(trainable, asked)
    loaded = trainable.loaded
    loaded.train(False)
    batch = collate([loaded.family.render(one) for one in asked])
    save_result(trainable, tmp_path / "left")
    again = load(
        Model(path=str(place), weights="fp32", kernels="none", device="cpu"), start=tmp_path / "left"
    )
    with torch.no_grad():
        torch.testing.assert_close(again.logits(batch), loaded.logits(batch), rtol=1e-4, atol=1e-5)


def update(trainable: Trainable, asked: list[Conversation]) -> None:
    """A step that moves every trained weight."""
    weights = [weight for group in trainable.groups for weight in group.parameters.values()]
    optimizer = torch.optim.AdamW(weights, lr=0.01)
    learnt(trainable, asked)
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.parametrize(
    "lora", [Lora(rank=4, dropout=0.1), Lora(rank=4, dora=True), Lora(rank=4, bias="all")], ids=str
)
def test_what_whole_functions_do_not_know_stays_as_it_is(tmp_path: Path, lora: Lora) -> None:
    trainable = trainable_of(tiny_model(tmp_path / "model", "qwen2"), sees=False, method=lora)
    assert apply_fused_layers(trainable.loaded.model, trainable.loaded.family, torch.float32) == 0


def test_an_adapter_that_is_switched_off_is_off(tmp_path: Path) -> None:
    trainable = trainable_of(tiny_model(tmp_path / "model", "qwen3"), sees=False)
    loaded: LoadedModel = trainable.loaded
    batch = collate([loaded.family.render(one) for one in TEXT])
    apply_fused_layers(loaded.model, loaded.family, torch.float32)
    model: Any = loaded.model
    with torch.no_grad():
        tuned = loaded.logits(batch)
        with model.disable_adapter():
            base = loaded.logits(batch)
        assert not torch.allclose(tuned, base)
        model.merge_adapter()
        torch.testing.assert_close(loaded.logits(batch), tuned, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("level", "passes"), [("none", 1), ("full", 2)])
def test_with_checkpointing_layers_are_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: Level, passes: int
) -> None:
    trainable = trainable_of(tiny_model(tmp_path / "model", "qwen2"), sees=False)
    checkpoint(trainable.loaded.model, level)
    number = apply_fused_layers(trainable.loaded.model, trainable.loaded.family, torch.float32)
    calls: list[int] = []

    def counted(*given: Any) -> Any:
        calls.append(1)
        return swiglu(*given)

    monkeypatch.setattr(fused_layers, "swiglu", counted)
    learnt(trainable, TEXT)
    assert len(calls) == passes * number


def test_what_comes_out_of_a_layer_is_not_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainable = trainable_of(tiny_model(tmp_path / "model", "qwen2"), sees=False)
    checkpoint(trainable.loaded.model, "full")
    number = apply_fused_layers(trainable.loaded.model, trainable.loaded.family, torch.float32)
    shapes: list[tuple[int, ...]] = []
    product = DenseMatmul.forward

    def noted(self: DenseMatmul, rows: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(self.weight.shape))
        return product(self, rows)

    monkeypatch.setattr(DenseMatmul, "forward", noted)
    learnt(trainable, TEXT)
    config = trainable.loaded.family.config
    down, both = (
        (config.hidden_size, config.intermediate_size),
        (2 * config.intermediate_size, config.hidden_size),
    )
    assert shapes.count(both) == 2 * number
    assert shapes.count(down) == number


@pytest.mark.parametrize("are_large", [False, True])
@pytest.mark.parametrize("level", LEVELS)
def test_weights_that_were_made_for_a_pass_that_is_done_again_serve_its_backward_pass_if_they_are_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: Level, are_large: bool
) -> None:
    if are_large:
        monkeypatch.setattr(matmul_backends, "MAX_CACHED", 0)
    trainable = trainable_of(tiny_model(tmp_path / "model", "qwen2"), sees=False, weights="nf4")
    number = apply_fused_layers(trainable.loaded.model, trainable.loaded.family, trainable.loaded.compute)
    checkpoint(trainable.loaded.model, level)
    wholes: list[tuple[int, ...]] = []
    make = Nf4Matmul._weight

    def counted(self: Nf4Matmul, dtype: torch.dtype) -> torch.Tensor:
        whole = make(self, dtype)
        wholes.append(tuple(whole.shape))
        return whole

    monkeypatch.setattr(Nf4Matmul, "_weight", counted)
    learnt(trainable, TEXT)
    # Four forward and four backward; of the first layer, nobody may ask for the gradient of what goes in. What is done
    # again leaves `down` out, or all but gate and up.
    again = {"none": 0, "selective": 1, "full": 3, "offload": 3}[level] if are_large else 0
    assert len(wholes) == (8 + again) * number - (level == "none")


@pytest.mark.parametrize("level", LEVELS)
def test_copies_of_trained_weights_are_made_once_for_a_forward_pass_and_its_backward_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: Level
) -> None:
    trainable = trainable_of(tiny_model(tmp_path / "model", "qwen2"), False, Full(), weights="bf16")
    number = apply_fused_layers(trainable.loaded.model, trainable.loaded.family, trainable.loaded.compute)
    checkpoint(trainable.loaded.model, level)
    shapes: list[tuple[int, ...]] = []
    make = TrainedMatmul.cast_weight

    def counted(self: TrainedMatmul, dtype: torch.dtype) -> torch.Tensor:
        copy = make(self, dtype)
        shapes.append(tuple(copy.shape))
        return copy

    monkeypatch.setattr(TrainedMatmul, "cast_weight", counted)
    learnt(trainable, TEXT)
    # Of the output layer too, which is not done again.
    assert len(shapes) == (8 if level in ("full", "offload") else 4) * number + 1


@pytest.mark.parametrize("is_whole", [True, False])
def test_moves_that_are_smaller_than_a_step_of_16_bits_change_the_loss(
    tmp_path: Path, is_whole: bool
) -> None:
    trainable = trainable_of(tiny_model(tmp_path / "model", "qwen3"), False, Full(), weights="bf16")
    if is_whole:
        assert apply_fused_layers(trainable.loaded.model, trainable.loaded.family, torch.bfloat16) == 2
    before, gradients = learnt(trainable, TEXT)
    wanted = 0.0
    for name, weight in trainable.groups[0].parameters.items():
        weight.grad = None
        if weight.ndim > 1 and "embed" not in name:
            between = torch.ldexp(torch.ones_like(weight), torch.frexp(weight.detach())[1] - 8)
            move = 0.2 * between * gradients[name].sign()
            wanted += (move * gradients[name]).sum().item()
            weight.data -= move
    after, _ = learnt(trainable, TEXT)
    assert before - after == pytest.approx(wanted, rel=0.1)


def test_an_update_of_the_weights_is_seen_by_the_next_pass(tmp_path: Path) -> None:
    trainable = trainable_of(tiny_model(tmp_path / "model", "qwen2"), sees=False)
    apply_fused_layers(trainable.loaded.model, trainable.loaded.family, torch.float32)
    weights = [weight for group in trainable.groups for weight in group.parameters.values()]
    optimizer = torch.optim.AdamW(weights, lr=0.1, fused=True)
    first, _ = learnt(trainable, TEXT)
    optimizer.step()
    second, _ = learnt(trainable, TEXT)
    assert second != first


def test_exchanging_again_puts_the_first_layers_back(tmp_path: Path) -> None:
    loaded = load(Model(path=str(tiny_model(tmp_path / "model", "qwen2")), weights="fp32"))
    layer: Any = transformers_model(loaded.model).base_model.layers[0]  # type: ignore[union-attr, index]
    kind = type(layer)
    assert apply_fused_layers(loaded.model, loaded.family, torch.float32) == 2
    assert type(layer) is not kind
    for part in loaded.model.modules():
        if isinstance(part, torch.nn.Embedding | torch.nn.Linear):
            part.requires_grad_(part.weight.shape[0] < 64)
    assert apply_fused_layers(loaded.model, loaded.family, torch.float32) == 0
    assert type(layer) is kind


def test_what_was_exchanged_is_freed_at_once(tmp_path: Path) -> None:
    loaded = trainable_of(tiny_model(tmp_path / "model", "qwen3"), sees=False).loaded
    model, family = loaded.model, loaded.family
    apply_fused_layers(model, family, torch.float32)
    wholes = [weakref.ref(vars(layer)[FUSED]) for layer in iter_fused_layers(model)]
    gc.disable()
    try:
        apply_fused_layers(model, family, torch.float32)
        assert [whole() for whole in wholes] == [None, None]
    finally:
        gc.enable()


def test_what_an_earlier_stage_recorded_is_let_go(tmp_path: Path) -> None:
    loaded = trainable_of(tiny_model(tmp_path / "model", "qwen3"), sees=False).loaded
    model, family = loaded.model, loaded.family
    apply_fused_layers(model, family, torch.float32, cuda_graphs=True)
    stacks = [weakref.ref(vars(layer)[FUSED].graphs) for layer in iter_fused_layers(model)]
    assert len(stacks) == 2
    assert stacks[0]() is stacks[1]() is not None
    apply_fused_layers(model, family, torch.float32)
    assert stacks[0]() is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the kernels run on a GPU only")
@pytest.mark.filterwarnings(
    "ignore:inner dimension"
)  # of bitsandbytes, about a tower whose widths are as odd as these
@pytest.mark.parametrize(
    ("weights", "method"),
    [("bf16", LORA), ("nf4", LORA), ("nf4-fp8", LORA), ("fp8", LORA), ("bf16", Full())],
    ids=str,
)
@pytest.mark.parametrize("model_type", ["qwen2", "qwen3", *FAMILIES])
def test_on_a_gpu_a_model_learns_as_with_its_plain_layers(
    tmp_path: Path, model_type: str, weights: str, method: Method
) -> None:
    sees = model_type in FAMILIES
    place = (tiny_seeing_model if sees else tiny_model)(tmp_path / "model", model_type)
    asked = conversations(tmp_path) if sees else TEXT
    results = []
    for chosen in ("none", "fused"):
        trainable = trainable_of(
            place, sees, method, weights=weights, attention="varlen", kernels=chosen, device="cuda"
        )
        assert trainable.loaded.kernels == chosen
        results.append(learnt(trainable, asked))
    (plain, wanted), (loss, found) = results
    assert loss == pytest.approx(plain, rel=0.02)
    for name, gradient in wanted.items():
        alike = torch.cosine_similarity(found[name].flatten(), gradient.flatten(), dim=0)
        assert alike > 0.97, f"{name}: {alike}"
