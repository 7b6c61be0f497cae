from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import cast

import pytest
from bitsandbytes.nn import Linear4bit, Params4bit

from tests.model.fixtures import tiny
from tunesmith.errors import ModelError
from tunesmith.precision.quantize import is_quantised, quantisation


def test_quantised_weights_without_bitsandbytes_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "bitsandbytes" else found(name, *rest),
    )
    with pytest.raises(
        ModelError, match=r"model.weights: nf4 needs bitsandbytes.*Install tunesmith\[quant\]"
    ):
        quantisation("nf4")
    assert quantisation("bf16") is None
    assert quantisation("fp8") is None


def test_nf4_is_doubly_quantised_and_never_repacked(tmp_path: Path) -> None:
    model = tiny(tmp_path, weights="nf4").model
    layers = [module for module in model.modules() if isinstance(module, Linear4bit)]
    assert len(layers) == 14
    assert not any(layer.support_avx512bf16_for_cpu for layer in layers)
    assert all(cast(Params4bit, layer.weight).quant_state.nested for layer in layers)
    assert {cast(Params4bit, layer.weight).quant_type for layer in layers} == {"nf4"}


def test_only_quantised_models_are_taken_for_such(tmp_path: Path) -> None:
    assert is_quantised(tiny(tmp_path, weights="int8").model)
    assert is_quantised(tiny(tmp_path, weights="fp8").model)
    assert not is_quantised(tiny(tmp_path).model)
