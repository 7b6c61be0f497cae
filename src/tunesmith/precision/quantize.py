"""Frozen weights in 4 or 8 bits (nf4 and int8 by bitsandbytes, fp8 by our own layers), and back to 16."""

from __future__ import annotations

import importlib.util
import logging
import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tunesmith.config.experiment import Precision
from tunesmith.errors import ModelError
from tunesmith.precision import fp8
from tunesmith.precision.fp8 import Fp8Linear

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig

MANY = 8
"""Layers that follow one another from which on those at the ends are not multiplied in 8 bits."""
_NUMBERED = re.compile(r"(.*?)\.(\d+)\.")


def quantisation(weights: Precision | None, skipped: Sequence[str] = ()) -> BitsAndBytesConfig | None:
    """What transformers must be told so that it loads nf4 or int8 weights, but for modules whose full names begin
    as `skipped` says; None for all others; ModelError if bitsandbytes is not installed. NF4 with double
    quantisation is QLoRA's (Dettmers et al. 2023, section 3)."""
    if weights not in ("nf4", "nf4-fp8", "int8"):
        return None
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(
            f"model.weights: {weights} needs bitsandbytes, which is not installed. Install "
            "tunesmith[quant], or use bf16"
        )
    from transformers import BitsAndBytesConfig

    # Named modules take the place of transformers' own choice, the output head.
    named = ["lm_head", *skipped] if skipped else None
    if weights == "int8":
        # It says at every product that it is done in fp16, whatever comes in.
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=named)
    return BitsAndBytesConfig(
        llm_int8_skip_modules=named,
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def refuse_prequantised(path: str, stated: Mapping[str, Any]) -> None:
    """Raise ModelError for a checkpoint whose weights are already quantised, other than fp8, which transformers
    dequantises. `stated` is the `quantization_config` of its config.json."""
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
    """The full names of layers, but for those in the first two and the last two of many layers that follow one another:
    what is rounded there is felt most.

    >>> without_ends([f"model.layers.{number}.up" for number in range(8)])[0]
    'model.layers.2.up'
    """
    places = {name: (found[1], int(found[2])) for name in names if (found := _NUMBERED.match(name))}
    numbers: dict[str, set[int]] = {}
    for stack, number in places.values():
        numbers.setdefault(stack, set()).add(number)
    inner = {
        (stack, number)
        for stack, those in numbers.items()
        for number in (sorted(those)[2:-2] if len(those) >= MANY else those)
    }
    return [name for name in names if name not in places or places[name] in inner]


def keep_trainable_on_cpu(model: nn.Module) -> None:
    """Stop bitsandbytes from repacking 4-bit weights at the first forward pass in eval mode on CPUs with
    AVX512-BF16: afterwards no gradient would pass them and merging would silently be wrong (bitsandbytes
    0.50)."""
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def is_quantised(module: nn.Module) -> bool:
    """True if the module, or one in it, holds quantised weights."""
    return any(
        isinstance(inner, Fp8Linear) or _is_bitsandbytes(inner, "Linear4bit", "Linear8bitLt")
        for inner in module.modules()
    )


def is_nf4(module: nn.Module) -> bool:
    """True if the module itself holds 4-bit weights."""
    return _is_bitsandbytes(module, "Linear4bit")


def has_scales(module: nn.Module) -> bool:
    """True if the module itself holds int8 or fp8 weights, which PEFT reads without their scales."""
    return isinstance(module, Fp8Linear) or _is_bitsandbytes(module, "Linear8bitLt")


def dequantised(model: Any) -> nn.Module:
    """The transformers model with its quantised weights in 16 bits."""
    if any(isinstance(module, Fp8Linear) for module in model.modules()):
        return fp8.dequantise(model)
    return model.dequantize()  # type: ignore[no-any-return]


def _is_bitsandbytes(module: nn.Module, *kinds: str) -> bool:
    """By name, so that bitsandbytes, which takes seconds to import, is only needed where it was used."""
    return any(
        kind.__name__ in kinds and kind.__module__.startswith("bitsandbytes") for kind in type(module).__mro__
    )


def num_weights(weight: nn.Parameter) -> int:
    """Number of weights, also where two are stored in one byte."""
    state = vars(weight).get("quant_state")
    return weight.numel() if state is None else math.prod(state.shape)
