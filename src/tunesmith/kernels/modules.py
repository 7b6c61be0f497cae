"""A model's own modules, whatever adapters have been put around them."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

WRAPPING = "base_model.model."


def own_name(name: str) -> str:
    """The full name that a weight or module would have without an adapter's wrapping.

    >>> own_name("base_model.model.model.layers.0.mlp.up_proj.base_layer.weight")
    'model.layers.0.mlp.up_proj.weight'
    """
    return name.removeprefix(WRAPPING).replace(".base_layer", "")


def is_adapter(name: str) -> bool:
    """True for a weight or module that belongs to an adapter.

    >>> is_adapter("base_model.model.model.layers.0.mlp.up_proj.lora_A.default.weight")
    True
    """
    return any(piece.startswith("lora_") for piece in name.split("."))


def adapted_layer(name: str) -> str:
    """The full name of the layer that an adapter's weight is for.

    >>> adapted_layer("base_model.model.model.layers.0.mlp.up_proj.lora_A.default.weight")
    'model.layers.0.mlp.up_proj'
    """
    return own_name(name).partition(".lora_")[0]


def own_modules(model: nn.Module) -> dict[str, nn.Module]:
    """The model's modules by full name, as if no adapter were on it."""
    modules = dict(model.named_modules())
    wrapped = any(name.startswith(WRAPPING) for name in modules)
    return {
        own_name(name): module
        for name, module in modules.items()
        if name.startswith(WRAPPING if wrapped else "")
        and own_name(name)
        and not is_adapter(name)
        and f"{name}.base_layer" not in modules
    }


def transformers_model(model: nn.Module) -> PreTrainedModel:
    """The transformers model, out of PEFT's wrapping if it has one."""
    return next(module for module in model.modules() if isinstance(module, PreTrainedModel))
