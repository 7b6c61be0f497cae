"""What can be asked of quantized modules, whatever their precision."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from torch import nn

from tunesmith.errors import ModelError
from tunesmith.precision.formats import all_precisions

LONG_STACK = 8
"""Layers that follow one another from which on those at the ends are treated apart."""
_NUMBERED = re.compile(r"(.*?)\.(\d+)\.")


def refuse_prequantised(path: str, stated: Mapping[str, Any]) -> None:
    """Raise ModelError for a checkpoint with weights that are already quantized, other than fp8.

    transformers dequantizes fp8 when it loads them. `stated` is the `quantization_config` of its config.json.
    """
    method = str(
        stated.get("quant_method") or ("bitsandbytes" if "load_in_4bit" in stated else "an unknown method")
    )
    if method == "fp8":
        return
    bits = 8 if stated.get("load_in_8bit") else stated.get("bits", 4)
    instead = "int8" if bits == 8 else "nf4"
    raise ModelError(
        f"model.path: {path} holds weights that are already quantised ({method}), which is not supported. Give the "
        f"16-bit model that they were made from, and set model.weights: {instead} for as little memory"
    )


def without_ends(names: Collection[str]) -> list[str]:
    """The full names of layers, without those in the first two and last two layers of a long stack.

    Rounding is felt most there.

    >>> without_ends([f"model.layers.{number}.up" for number in range(8)])[0]
    'model.layers.2.up'
    """
    positions = {name: (match[1], int(match[2])) for name in names if (match := _NUMBERED.match(name))}
    numbers: dict[str, set[int]] = {}
    for stack, number in positions.values():
        numbers.setdefault(stack, set()).add(number)
    inner = {
        (stack, number)
        for stack, members in numbers.items()
        for number in (sorted(members)[2:-2] if len(members) >= LONG_STACK else members)
    }
    return [name for name in names if name not in positions or positions[name] in inner]


def is_quantised(module: nn.Module) -> bool:
    """True if the module, or one in it, holds quantized weights."""
    precisions = list(all_precisions())
    return any(precision.holds(inner) for inner in module.modules() for precision in precisions)


def has_scales(module: nn.Module) -> bool:
    """True if the module itself holds weights with scales that PEFT does not read."""
    return any(precision.peft_ignores_scales and precision.holds(module) for precision in all_precisions())


def dequantised(model: Any) -> nn.Module:
    """The transformers model with its quantized weights in 16 bits."""
    for precision in all_precisions():
        model = precision.dequantize(model)
    return model  # type: ignore[no-any-return]


def num_weights(weight: nn.Parameter) -> int:
    """Number of weights, also if two are stored in one byte."""
    state = vars(weight).get("quant_state")
    return weight.numel() if state is None else math.prod(state.shape)
