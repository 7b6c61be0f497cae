"""What can be asked of quantized modules."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from tests.model.fixtures import tiny
from tunesmith.precision.fp8_linear import Fp8Linear
from tunesmith.precision.quantize import dequantised, has_scales, is_quantised


@pytest.mark.parametrize(("weights", "ignores_scales"), [("int8", True), ("fp8", True), ("nf4", False)])
def test_quantized_models_are_recognised_and_dequantized(
    tmp_path: Path, weights: str, ignores_scales: bool
) -> None:
    model = tiny(tmp_path, weights=weights).model
    assert is_quantised(model)
    assert any(map(has_scales, model.modules())) == ignores_scales
    plain = dequantised(model)
    assert not is_quantised(plain)
    assert not any(isinstance(module, Fp8Linear) for module in plain.modules())
    assert any(type(module) is nn.Linear for module in plain.modules())


def test_a_plain_model_is_not_taken_for_a_quantized_one(tmp_path: Path) -> None:
    assert not is_quantised(tiny(tmp_path).model)
