"""What nf4, nf4-fp8 and int8 share: weights that bitsandbytes stores."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tunesmith.errors import ModelError
from tunesmith.precision.formats import Precision

if TYPE_CHECKING:
    from torch import nn


class BitsAndBytes(Precision):
    """Weights in a layer class of bitsandbytes."""

    is_quantized = True
    package = "bitsandbytes"

    def load_arguments(self, skipped: Sequence[str] = ()) -> dict[str, Any]:
        """The `BitsAndBytesConfig`; ModelError if bitsandbytes is not installed."""
        if importlib.util.find_spec("bitsandbytes") is None:
            raise ModelError(
                f"model.weights: {self.kind} needs bitsandbytes, which is not installed. Install tunesmith[quant], "
                "or use bf16"
            )
        from transformers import BitsAndBytesConfig

        # Named modules replace transformers' default, which is the output layer.
        named = ["lm_head", *skipped] if skipped else None
        config = BitsAndBytesConfig(llm_int8_skip_modules=named, **self.options())
        return {"quantization_config": config}

    def options(self) -> dict[str, Any]:
        """Further arguments of `BitsAndBytesConfig`."""
        return {}

    def dequantize(self, model: Any) -> nn.Module:
        """By transformers."""
        return model.dequantize() if any(map(self.holds, model.modules())) else model  # type: ignore[no-any-return]


def is_layer(module: nn.Module, class_name: str) -> bool:
    """Whether a module is of this class of bitsandbytes.

    By name, since importing bitsandbytes takes seconds and is needed only where it was used.
    """
    return any(
        base.__name__ == class_name and base.__module__.startswith("bitsandbytes")
        for base in type(module).__mro__
    )


def keep_trainable_on_cpu(model: nn.Module) -> None:
    """Stop bitsandbytes from repacking 4-bit weights in eval mode on CPUs with AVX512-BF16.

    After repacking, no gradient passes them and merging is silently wrong (bitsandbytes 0.50).
    """
    layer: Any
    for layer in model.modules():
        if is_layer(layer, "Linear4bit"):
            layer.support_avx512bf16_for_cpu = False
