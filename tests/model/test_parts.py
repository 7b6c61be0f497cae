"""Which weights of a model with several parts are trained, whatever methods the parts have."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.model.families.pictures import FAMILIES, conversations, seeing
from tests.tiny import tiny_seeing_model
from tunesmith.batching.collator import collate
from tunesmith.config.experiment import Model
from tunesmith.errors import ModelError
from tunesmith.methods import Method
from tunesmith.methods.frozen import Frozen
from tunesmith.methods.full import Full
from tunesmith.methods.lora import Lora
from tunesmith.model.load import load
from tunesmith.model.loaded import LoadedModel
from tunesmith.model.saving import save_result, trained_state
from tunesmith.model.trainable import Trainable, make_trainable
from tunesmith.precision.fp8_linear import Fp8Linear
from tunesmith.train.loss import answer_loss

PARTS = ("vision", "projector", "language")
METHODS: tuple[Method, ...] = (Frozen(), Full(), Lora(rank=2))
COMBINATIONS = [
    pytest.param(
        methods,
        id="-".join(method.kind for method in methods),
        marks=[pytest.mark.slow] if sum(method.kind != "frozen" for method in methods) > 1 else [],
    )
    for methods in list(product(METHODS, repeat=3))[1:]
]
"""Every combination; those of more than one trained part are left out of the quick loop."""


def part_of(name: str) -> str:
    """The part of a weight, by the official names."""
    if name.startswith(("model.visual.merger.", "model.visual.deepstack_merger_list.")):
        return "projector"
    return "vision" if name.startswith("model.visual.") else "language"


def linear_layers(model: torch.nn.Module) -> dict[str, set[str]]:
    """Linear layers of blocks by part: all but the output head."""
    found: dict[str, set[str]] = {part: set() for part in PARTS}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            found[part_of(name)].add(name)
    return found


@pytest.mark.parametrize("model_type", FAMILIES)
@pytest.mark.parametrize("methods", COMBINATIONS)
def test_exactly_the_weights_of_each_part_are_trained(
    tmp_path: Path, model_type: str, methods: tuple[Method, ...]
) -> None:
    loaded = seeing(tiny_seeing_model(tmp_path, model_type))
    own = {name for name, _ in loaded.model.named_parameters()}
    layers = linear_layers(loaded.model)
    wanted: set[str] = set()
    for part, method in zip(PARTS, methods, strict=True):
        if method.kind == "full":
            wanted |= {name for name in own if part_of(name) == part}
        if method.kind == "lora":
            wanted |= {f"{layer}.lora_{side}.default.weight" for layer in layers[part] for side in "AB"}
    trainable = make_trainable(loaded, dict(zip(PARTS, methods, strict=True)), seed=0)
    assert set(trained_state(trainable)) == wanted
    opened = {name for name, weight in trainable.loaded.model.named_parameters() if weight.requires_grad}
    assert len(opened) == len(wanted)
    assert [row.part for row in trainable.summary] == list(PARTS)


def test_a_name_in_several_parts_does_not_leak_across(tmp_path: Path) -> None:
    loaded = seeing(tiny_seeing_model(tmp_path, "qwen2_5_vl"))
    trainable = make_trainable(loaded, {"language": Lora(targets=["gate_proj"])}, seed=0)
    assert all("language_model" in name for name in trained_state(trainable))


def trained_a_little(trainable: Trainable, folder: Path) -> torch.Tensor:
    """The loss on pictures after a step that moved all trained weights."""
    folder.mkdir()
    batch = collate([trainable.loaded.family.render(one) for one in conversations(folder)])
    answer_loss(trainable.loaded, batch).backward()
    with torch.no_grad():
        for group in trainable.groups:
            for weight in group.parameters.values():
                assert weight.grad is not None
                weight -= 0.1 * weight.grad
        return answer_loss(trainable.loaded, batch)


def loss_of(loaded: LoadedModel, folder: Path) -> torch.Tensor:
    batch = collate([loaded.family.render(one) for one in conversations(folder)])
    with torch.no_grad():
        return answer_loss(loaded, batch)


def test_a_small_part_is_saved_alone_and_stays_through_the_next_stage(tmp_path: Path) -> None:
    settings = Model(path=str(tiny_seeing_model(tmp_path / "base", "qwen2_vl")), weights="fp32", device="cpu")
    first = make_trainable(load(settings), {"projector": Full()}, seed=0)
    after_first = trained_a_little(first, tmp_path / "a")
    save_result(first, tmp_path / "one")
    assert [entry.name for entry in (tmp_path / "one").iterdir()] == ["weights"]
    saved = load_file(tmp_path / "one" / "weights" / "changed.safetensors")
    assert saved.keys() == trained_state(first).keys()
    torch.testing.assert_close(loss_of(load(settings, start=tmp_path / "one"), tmp_path / "a"), after_first)

    second = make_trainable(load(settings, start=tmp_path / "one"), {"language": Lora()}, seed=0)
    after_second = trained_a_little(second, tmp_path / "b")
    save_result(second, tmp_path / "two")
    assert {entry.name for entry in (tmp_path / "two").iterdir()} == {"adapter", "weights"}
    torch.testing.assert_close(loss_of(load(settings, start=tmp_path / "two"), tmp_path / "b"), after_second)


def test_damaged_weights_of_a_part_are_named(tmp_path: Path) -> None:
    settings = Model(path=str(tiny_seeing_model(tmp_path / "base", "qwen2_vl")), weights="fp32", device="cpu")
    first = make_trainable(load(settings), {"projector": Full()}, seed=0)
    save_result(first, tmp_path / "one")
    (tmp_path / "one" / "weights" / "changed.safetensors").write_bytes(b"no")
    with pytest.raises(ModelError, match="these weights do not fit the model, or are damaged"):
        load(settings, start=tmp_path / "one")


@pytest.mark.parametrize(("weights", "kind"), [("nf4", "Linear4bit"), ("fp8", "Fp8Linear")])
def test_the_language_can_be_quantised_beside_a_vision_tower_in_bf16(
    weights: str, kind: str, tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes")
    settings = Model(
        path=str(tiny_seeing_model(tmp_path / "base", "qwen2_5_vl")),
        weights={"language": weights},
        device="cpu",
    )
    loaded = load(settings)
    kinds = {part: set() for part in PARTS}
    for name, module in loaded.model.named_modules():
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            kinds[part_of(name)].add(type(module).__name__)
    assert kinds == {"vision": {"Linear"}, "projector": {"Linear"}, "language": {kind}}
    trainable = make_trainable(loaded, {"vision": Full(), "language": Lora()}, seed=0)
    trained_a_little(trainable, tmp_path / "a")
    save_result(trainable, tmp_path / "one")
    assert {entry.name for entry in (tmp_path / "one").iterdir()} == {"adapter", "weights"}
    again = load(settings, start=tmp_path / "one")
    torch.testing.assert_close(
        loss_of(again, tmp_path / "a"), loss_of(trainable.loaded, tmp_path / "a"), rtol=0.02, atol=0.02
    )


@pytest.mark.parametrize("model_type", FAMILIES)
def test_every_part_can_be_fp8_and_adapted(tmp_path: Path, model_type: str) -> None:
    settings = Model(
        path=str(tiny_seeing_model(tmp_path / "base", model_type)),
        weights={"language": "fp8", "vision": "fp8"},
        device="cpu",
    )
    loaded = load(settings)
    small = {name for name, weight in loaded.model.named_parameters() if weight.dtype == torch.float8_e4m3fn}
    assert {part_of(name) for name in small} == {"language", "vision"}
    trainable = make_trainable(loaded, {"vision": Lora(rank=2), "language": Lora(rank=2)}, seed=0)
    for module in trainable.loaded.model.modules():
        if isinstance(module, Fp8Linear):
            module.uses_fp8 = True
    (tmp_path / "a").mkdir()
    plain = load(settings.model_copy(update={"weights": "bf16"}))
    wanted = loss_of(plain, tmp_path / "a")
    torch.testing.assert_close(loss_of(trainable.loaded, tmp_path / "a"), wanted, rtol=0.05, atol=0)
    trained_a_little(trainable, tmp_path / "b")


def test_weights_that_were_trained_cannot_be_quantised_afterwards(tmp_path: Path) -> None:
    settings = Model(path=str(tiny_seeing_model(tmp_path / "base", "qwen2_vl")), weights="bf16", device="cpu")
    save_result(make_trainable(load(settings), {"projector": Full()}, seed=0), tmp_path / "one")
    with pytest.raises(
        ModelError, match=r"they were trained, so model.weights cannot quantise them; use bf16"
    ):
        load(settings.model_copy(update={"weights": "fp8"}), start=tmp_path / "one")
    load(settings.model_copy(update={"weights": {"language": "fp8"}}), start=tmp_path / "one")


def test_precision_of_a_part_that_is_not_there_is_named(tmp_path: Path) -> None:
    settings = Model(
        path=str(tiny_seeing_model(tmp_path / "base", "qwen2_vl")),
        weights={"vison": "nf4", "image_processor": "nf4"},
        device="cpu",
    )
    with pytest.raises(ModelError) as caught:
        load(settings)
    assert str(caught.value) == (
        "model.weights.vison: qwen2_vl has no such part (projector, vision, language). Did you mean 'vision'?\n"
        "model.weights.image_processor: qwen2_vl has no such part (projector, vision, language)."
    )
