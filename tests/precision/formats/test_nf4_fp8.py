"""Weights in NF4 that are multiplied in 8 bits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tunesmith.precision.formats import MATMUL, frozen_matmul
from tunesmith.precision.formats.nf4_fp8 import Nf4Fp8
from tunesmith.precision.matmul_backends import NO_PADDING, Nf4Fp8Matmul, Nf4Matmul, Padding

bitsandbytes = pytest.importorskip("bitsandbytes")


def four_bits(inputs: int, outputs: int) -> Any:
    layer = bitsandbytes.nn.Linear4bit(
        inputs, outputs, bias=False, quant_type="nf4", compress_statistics=True
    )
    return layer.to("cpu")


def test_only_layers_whose_sizes_allow_it_are_marked() -> None:
    model = nn.ModuleList([four_bits(128, 32), four_bits(96, 32), four_bits(128, 24), nn.Linear(128, 32)])
    assert Nf4Fp8().mark(model) == 1
    assert [MATMUL in vars(layer) for layer in model] == [True, False, False, False]


def test_marked_layers_are_multiplied_in_8_bits_unless_one_is_not_marked_or_padded() -> None:
    layers = [four_bits(128, 32), four_bits(128, 16)]
    assert isinstance(frozen_matmul(layers, torch.bfloat16, NO_PADDING), Nf4Matmul)
    Nf4Fp8().mark(nn.ModuleList(layers))
    assert isinstance(frozen_matmul(layers, torch.bfloat16, NO_PADDING), Nf4Fp8Matmul)
    assert isinstance(frozen_matmul(layers, torch.bfloat16, Padding(outputs=4)), Nf4Matmul)
    mixed = [layers[0], four_bits(128, 16)]
    assert isinstance(frozen_matmul(mixed, torch.bfloat16, NO_PADDING), Nf4Matmul)


def test_without_products_in_8_bits_nothing_is_marked_and_the_log_says_so() -> None:
    layer = four_bits(128, 32)
    note = Nf4Fp8().prepare(nn.ModuleList([layer]), [], torch.device("cpu"), "fused")
    assert note == "weights: nf4 (products in bf16, which is slower: it needs a GPU, this is cpu)"
    assert MATMUL not in vars(layer)
