from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.tiny import tiny_model, tiny_seeing_model
from tunesmith.config.experiment import Model
from tunesmith.errors import ModelError
from tunesmith.methods.lora import Lora
from tunesmith.model.base_fingerprint import refuse_other_base, traits_of
from tunesmith.model.load import load
from tunesmith.model.trainable import make_trainable


def loaded(path: Path, weights: str = "fp32"):
    return load(Model(path=str(path), weights=weights, device="cpu"))  # type: ignore[arg-type]


def test_a_model_has_the_same_traits_in_every_precision_and_under_an_adapter(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    traits = traits_of(loaded(model))
    assert {name.rpartition(".")[2] for name in traits} == {"weight"}
    assert len(traits) == 2 * 2 + 1 + 1
    assert traits_of(loaded(model, "bf16")) == traits
    pytest.importorskip("bitsandbytes")
    assert traits_of(loaded(model, "nf4")) == traits
    adapted = make_trainable(loaded(model), {"language": Lora(targets="all", rank=2)}, 1).loaded
    assert traits_of(adapted) == traits


def test_another_model_of_the_same_shape_is_told(tmp_path: Path) -> None:
    one, other = (traits_of(loaded(tiny_model(tmp_path / str(seed), seed=seed))) for seed in (0, 1))
    refuse_other_base(loaded(tmp_path / "0"), one, "a", "b")
    with pytest.raises(
        ModelError, match="a has the shape of the model that b was trained on, but is another one"
    ):
        refuse_other_base(loaded(tmp_path / "0"), other, "a", "b")


def test_weights_that_an_earlier_stage_changed_are_not_compared(tmp_path: Path) -> None:
    model = loaded(tiny_model(tmp_path))
    before = traits_of(model)
    name = "model.norm.weight"
    model.model.get_parameter(name).data += torch.ones(64)
    with pytest.raises(ModelError, match=f"1 of 6 weights that were compared differ, such as {name}"):
        refuse_other_base(model, before, "a", "b")
    model.changed = frozenset({name})
    refuse_other_base(model, before, "a", "b")


def test_a_model_that_sees_is_told_too(tmp_path: Path) -> None:
    assert any(
        name.startswith("model.visual.")
        for name in traits_of(loaded(tiny_seeing_model(tmp_path, "qwen2_vl")))
    )
