"""Weights in fp8."""

from __future__ import annotations

import torch
from torch import nn

from tunesmith.precision.formats import precision_of
from tunesmith.precision.fp8_linear import Fp8Linear


def test_layers_at_the_ends_stay_plain_and_weights_take_what_is_said() -> None:
    layers = [nn.ModuleDict({"up": nn.Linear(64, 32, bias=False)}) for _ in range(8)]
    model = nn.ModuleDict({"layers": nn.ModuleList(layers)})
    names = [f"layers.{number}.up" for number in range(8)]
    note = precision_of("fp8").prepare(model.bfloat16(), names, torch.device("cpu"), "none")
    assert note == ("weights: fp8, 4 layers (products in bf16, which is slower: it needs a GPU, this is cpu)")
    classes = [type(model.get_submodule(name)) for name in names]
    assert classes == [nn.Linear] * 2 + [Fp8Linear] * 4 + [nn.Linear] * 2
    layer = model.get_submodule("layers.3.up")
    assert isinstance(layer, Fp8Linear)
    assert layer.weight.nbytes + layer.scales.nbytes == precision_of("fp8").weight_bytes(32, 64)
