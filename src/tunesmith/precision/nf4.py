"""Weights in NF4 (Dettmers et al. 2023), as bitsandbytes stores them, made whole again: in 16 bits, or in 8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Float32, Num
from torch import Tensor, nn

from tunesmith.precision.fp8 import WEIGHT
from tunesmith.precision.fp8_cast import STEP, cast_rows
from tunesmith.precision.quantize import is_nf4, without_ends

_MARK = "multiplied_in_eight_bits"
"""Of a layer that is to be brought to 8 bits, where its products are had by `products.frozen`."""


def write_whole(stored: Any, place: Float[Tensor, "out in"]) -> None:
    """Write a weight of bitsandbytes (`Params4bit`) to its place, in the precision that the place has."""
    if place.is_cuda:
        from tunesmith.precision import nf4_triton

        whole = place.contiguous()
        nf4_triton.write_whole(stored.data, stored.quant_state, whole)
        if whole is not place:
            place.copy_(whole)
    else:
        from bitsandbytes.functional import dequantize_4bit

        place.copy_(dequantize_4bit(stored.data, stored.quant_state))


def mark_for_eight_bits(model: nn.Module) -> int:
    """Have the products of the 4-bit layers be in 8 bits, but for those at the ends, and say how many will be. The
    scales of 4-bit weights must end with a row, and 8-bit products take sizes that are multiples of 16."""
    layers: dict[str, Any] = {name: module for name, module in model.named_modules() if is_nf4(module)}
    marked = [
        layer
        for layer in map(layers.__getitem__, without_ends(layers))
        if layer.in_features % layer.weight.quant_state.blocksize == 0 and layer.out_features % STEP == 0
    ]
    for layer in marked:
        vars(layer)[_MARK] = True
    return len(marked)


def is_in_eight_bits(layer: nn.Module) -> bool:
    """Whether `mark_for_eight_bits` chose the layer."""
    return _MARK in vars(layer)


def in_eight_bits(layers: Sequence[Any]) -> tuple[Num[Tensor, "out in"], Float32[Tensor, " out"]]:
    """The weights of 4-bit layers of one input in 8 bits, one below the other, with a scale for each row: by the
    largest of its scales in 4 bits, which is the largest value that it can have."""
    heights, first = [layer.out_features for layer in layers], layers[0]
    weight = first.weight.data.new_empty(sum(heights), first.in_features, dtype=WEIGHT)
    scales = weight.new_empty(len(weight), dtype=torch.float32)
    for layer, place, of_rows in zip(layers, weight.split(heights), scales.split(heights), strict=True):
        if weight.is_cuda:
            from tunesmith.precision import nf4_triton

            nf4_triton.write_in_eight_bits(layer.weight.data, layer.weight.quant_state, place, of_rows)
        else:
            whole = torch.empty(layer.out_features, layer.in_features)
            write_whole(layer.weight, whole)
            cast = cast_rows(whole, WEIGHT)
            place.copy_(cast.rows)
            of_rows.copy_(cast.scales[:, 0])
    return weight, scales
