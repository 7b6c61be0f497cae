"""Weights in NF4."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.model.fixtures import tiny
from tunesmith.precision.formats import precision_of

bitsandbytes = pytest.importorskip("bitsandbytes")


def test_weights_are_doubly_quantized_and_never_repacked(tmp_path: Path) -> None:
    model = tiny(tmp_path, weights="nf4").model
    layers = [module for module in model.modules() if isinstance(module, bitsandbytes.nn.Linear4bit)]
    assert len(layers) == 14
    assert not any(layer.support_avx512bf16_for_cpu for layer in layers)
    assert all(layer.weight.quant_state.nested for layer in layers)
    assert {layer.weight.quant_type for layer in layers} == {"nf4"}


@pytest.mark.parametrize(("rows", "columns"), [(64, 128), (512, 1024), (100, 36)])
def test_weights_take_what_bitsandbytes_allocates(rows: int, columns: int) -> None:
    packed, state = bitsandbytes.functional.quantize_4bit(
        torch.randn(rows, columns), quant_type="nf4", compress_statistics=True
    )
    measured = packed.nbytes + state.absmax.nbytes + state.state2.absmax.nbytes
    assert precision_of("nf4").weight_bytes(rows, columns) == measured
