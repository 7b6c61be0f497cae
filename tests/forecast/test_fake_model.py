from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.tiny import tiny_model, tiny_seeing_model
from tunesmith.config.experiment import Model, Precision
from tunesmith.config.head import Head
from tunesmith.forecast.fake_kernels import FakeQuantizedLinear
from tunesmith.forecast.fake_model import Machine, build_fake_model
from tunesmith.methods import Method
from tunesmith.methods.full import Full
from tunesmith.methods.lora import Lora
from tunesmith.model.heads import hidden_width, new_head
from tunesmith.model.load import load, load_family
from tunesmith.model.loaded import LoadedModel
from tunesmith.model.trainable import make_trainable

HERE = Machine("sdpa", "none")
HEAD = (Head(hidden=32), ("a", "b", "c"))


def bytes_of(modules: dict[str, nn.Module]) -> int:
    weights = {id(one): one for module in modules.values() for one in module.parameters(recurse=False)}
    return sum(one.nbytes for one in weights.values())


def settings_of(folder: Path, model_type: str, weights: Precision) -> Model:
    make = tiny_model if model_type in ("qwen2", "qwen3", "llama") else tiny_seeing_model
    return Model(path=str(make(folder / model_type, model_type)), weights=weights, device="cpu")


def bare(loaded: LoadedModel) -> dict[str, int]:
    """Bytes of each part's own weights."""
    return {part: bytes_of(modules) for part, modules in loaded.family.parts(loaded.model).items()}


@pytest.mark.parametrize("weights", ["bf16", "fp32"])
@pytest.mark.parametrize("model_type", ["qwen2", "qwen3", "llama", "qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_it_has_the_weights_of_the_loaded_model_part_by_part(
    model_type: str, weights: Precision, tmp_path: Path
) -> None:
    settings = settings_of(tmp_path, model_type, weights)
    family = load_family(settings)
    methods: dict[str, Method] = {"language": Full(), "head": Full()}
    made = build_fake_model(family, dict.fromkeys(family.prefixes, weights), methods, HERE, HEAD)
    loaded = load(settings)
    loaded.head = new_head(*HEAD, hidden_width(family.config), 0, loaded.device)
    trainable = make_trainable(loaded, methods, seed=0)
    head = sum(weight.nbytes for weight in loaded.head.parameters())
    assert made.weights == bare(trainable.loaded) | {"head": head}
    shapes = [[tuple(one.shape) for one in group.parameters.values()] for group in trainable.groups]
    assert [
        [tuple(one.shape) for one in group.parameters.values()] for group in made.trainable.groups
    ] == shapes


def test_an_adapter_counts_to_the_part_that_it_is_on(tmp_path: Path) -> None:
    family = load_family(settings_of(tmp_path, "qwen2_5_vl", "bf16"))
    precisions = dict.fromkeys(family.prefixes, "bf16")
    one, both = (
        build_fake_model(family, precisions, methods, HERE)
        for methods in ({"language": Lora(rank=4)}, {"language": Lora(rank=4), "vision": Lora(rank=4)})
    )
    assert one.weights["language"] == both.weights["language"]
    assert one.weights["vision"] < both.weights["vision"]
    assert one.weights["projector"] == both.weights["projector"]


def test_nf4_weights_are_as_small_as_loaded_ones(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    settings = Model(path=str(tiny_model(tmp_path, hidden_size=256)), weights="nf4", device="cpu")
    family = load_family(settings)
    made = build_fake_model(family, {"language": "nf4"}, {"language": Lora(rank=4)}, HERE)
    loaded = make_trainable(load(settings), {"language": Lora(rank=4)}, seed=0).loaded
    scales = 0
    for weight in loaded.model.parameters():
        state = vars(weight).get("quant_state")
        scales += 0 if state is None else state.absmax.nbytes + state.state2.absmax.nbytes
    assert made.weights["language"] == sum(one.nbytes for one in loaded.model.parameters()) + scales


def test_layers_at_the_ends_of_many_are_not_in_8_bits(tmp_path: Path) -> None:
    family = load_family(Model(path=str(tiny_model(tmp_path, layers=8)), device="cpu"))
    of = {}
    for weights in ("nf4", "nf4-fp8", "fp8"):
        made = build_fake_model(family, {"language": weights}, {"language": Lora(rank=4)}, HERE)
        found = [module for module in made.loaded.model.modules() if isinstance(module, FakeQuantizedLinear)]
        of[weights] = {
            kind: sum(one.precision.kind == kind for one in found) for kind in ("nf4", "nf4-fp8", "fp8")
        }
    # Seven linear layers in each.
    assert of["nf4"] == {"nf4": 56, "nf4-fp8": 0, "fp8": 0}
    assert of["nf4-fp8"] == {"nf4": 28, "nf4-fp8": 28, "fp8": 0}
    assert of["fp8"] == {"nf4": 0, "nf4-fp8": 0, "fp8": 28}


def test_nothing_that_training_needs_is_touched(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "qwen2_vl", "fp32")
    loaded = load(settings)
    before, attends = torch.get_rng_state(), loaded.model.config._attn_implementation
    made = build_fake_model(
        loaded.family, dict.fromkeys(loaded.family.prefixes, "fp32"), {"vision": Lora()}, Machine()
    )
    with made.active():
        torch.randn(3)
    assert torch.equal(torch.get_rng_state(), before)
    assert loaded.model.config._attn_implementation == attends
    assert made.loaded.attention == "varlen"


def test_tensors_have_no_data(tmp_path: Path) -> None:
    family = load_family(settings_of(tmp_path, "qwen2", "bf16"))
    made = build_fake_model(family, {"language": "bf16"}, {"language": Lora()}, Machine())
    assert all(tensor.untyped_storage().device.type == "meta" for tensor in made.tensors)
    assert len(made.trained) == 2 * 7 * 2


def test_a_model_whose_layers_no_family_describes_is_made_for_a_gpu_too(tmp_path: Path) -> None:
    family = load_family(Model(path=str(tiny_model(tmp_path, "gemma")), device="cpu"))
    made = build_fake_model(family, {"language": "bf16"}, {"language": Lora()})
    assert made.loaded.kernels == "fused"
    assert "kernels: 0 fused layers" in " ".join(made.loaded.notes)
