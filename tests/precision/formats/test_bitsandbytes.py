"""What all precisions of bitsandbytes share."""

from __future__ import annotations

import importlib.util

import pytest

from tunesmith.errors import ModelError
from tunesmith.precision.formats import precision_of


@pytest.mark.parametrize("kind", ["nf4", "nf4-fp8", "int8"])
def test_without_bitsandbytes_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "bitsandbytes" else find_spec(name, *rest),
    )
    with pytest.raises(
        ModelError, match=rf"model.weights: {kind} needs bitsandbytes.*Install tunesmith\[quant\]"
    ):
        precision_of(kind).load_arguments()
    assert precision_of("bf16").load_arguments() == precision_of("fp8").load_arguments() == {}


def test_parts_that_are_not_quantized_are_skipped_and_the_output_layer_with_them() -> None:
    pytest.importorskip("bitsandbytes")
    config = precision_of("nf4").load_arguments(["model.visual"])["quantization_config"]
    assert config.llm_int8_skip_modules == ["lm_head", "model.visual"]
