"""NF4 weights (Dettmers et al. 2023) as bitsandbytes stores them, dequantized to 16 or to 8 bits.

A byte holds two codes of 4 bits. A code is an index into a table of 16 values between -1 and 1; 64 neighbouring weights
(a group) share a scale, their largest absolute value:

    weight = table[code] * scale[group]

Scales may be quantized too ("double quantization"): 8-bit indices into a second table, with an fp32 scale for 256 of
them and one offset for all:

    scale = table2[index] * scale2 + offset

To 8 bits: a row of fp8 needs one scale (see `fp8_cast`), which is the row's largest absolute value. In every group the
largest value is plus or minus its scale, since the table ends at -1 and 1; so a row's largest value is the largest of
its groups' scales, and nothing has to be searched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Float32, Num
from torch import Tensor

from tunesmith.precision.fp8_cast import cast_rows
from tunesmith.precision.fp8_linear import WEIGHT_DTYPE


def dequantize_into(stored: Any, target: Float[Tensor, "out in"]) -> None:
    """Write the values of a weight of bitsandbytes (`Params4bit`) into `target`, in its dtype."""
    if target.is_cuda:
        from tunesmith.precision import nf4_dequant_triton

        contiguous = target.contiguous()
        nf4_dequant_triton.dequantize_into(stored.data, stored.quant_state, contiguous)
        if contiguous is not target:
            target.copy_(contiguous)
    else:
        from bitsandbytes.functional import dequantize_4bit

        target.copy_(dequantize_4bit(stored.data, stored.quant_state))


def to_fp8(layers: Sequence[Any]) -> tuple[Num[Tensor, "out in"], Float32[Tensor, " out"]]:
    """The stacked weights of 4-bit layers in 8 bits, and the scales of their rows."""
    heights, first = [layer.out_features for layer in layers], layers[0]
    weight = first.weight.data.new_empty(sum(heights), first.in_features, dtype=WEIGHT_DTYPE)
    scales = weight.new_empty(len(weight), dtype=torch.float32)
    for layer, rows, row_scales in zip(layers, weight.split(heights), scales.split(heights), strict=True):
        if weight.is_cuda:
            from tunesmith.precision import nf4_dequant_triton

            nf4_dequant_triton.to_fp8(layer.weight.data, layer.weight.quant_state, rows, row_scales)
        else:
            values = torch.empty(layer.out_features, layer.in_features)
            dequantize_into(layer.weight, values)
            cast = cast_rows(values, WEIGHT_DTYPE)
            rows.copy_(cast.rows)
            row_scales.copy_(cast.scales[:, 0])
    return weight, scales
