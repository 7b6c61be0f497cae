"""Mixtures of experts among a part's modules: weights that are no linear layers, and routers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def stacked_experts(part: dict[str, nn.Module]) -> dict[str, int]:
    """The number of experts by full name of the modules that hold all experts in one three-dimensional weight."""
    from torch.nn.modules.conv import _ConvNd

    return {
        name: weight.shape[0]
        for name, module in part.items()
        if not isinstance(module, _ConvNd)
        for weight in module.parameters(recurse=False)
        if weight.dim() == 3
    }


def is_in_layer(name: str) -> bool:
    """Whether a module is inside one of a stack of layers.

    >>> is_in_layer("model.layers.0.mlp.up_proj"), is_in_layer("model.embed_tokens")
    (True, False)
    """
    return any(piece.isdigit() for piece in name.split("."))


def routers(part: dict[str, nn.Module]) -> set[str]:
    """Full names of the linear layers that choose experts or weigh a shared one: small outputs next to experts."""
    from torch import nn

    experts = stacked_experts(part)
    experts |= {
        name: len(module)
        for name, module in part.items()
        if isinstance(module, nn.ModuleList) and is_in_layer(name)
    }
    mixtures = {name.rpartition(".")[0]: number for name, number in experts.items()}
    return {
        name
        for name, module in part.items()
        if isinstance(module, nn.Linear)
        for mixture, number in mixtures.items()
        if name.startswith(f"{mixture}.") and module.out_features in (1, number)
    }
