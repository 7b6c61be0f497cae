"""How much of the activations is kept for the backward pass, and how much is computed again."""

from __future__ import annotations

import warnings
from typing import Literal

from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from tunesmith.kernels.fusion.patch import make_products_again, whole_layers
from tunesmith.kernels.modules import transformers_model
from tunesmith.model.activation_offload import Offload

Level = Literal["none", "selective", "full", "offload"]
LEVELS: tuple[Level, ...] = ("none", "selective", "full", "offload")
"""From the fastest to the smallest."""


def checkpoint(model: nn.Module, level: Level) -> None:
    """Keep all activations (`none`); of each block only what goes into it (`full`), a GPU's on the host (`offload`); or
    of blocks that are run as whole functions all but the two wide products of their MLP, and of others as with `full`
    (`selective`)."""
    inner = transformers_model(model)
    with warnings.catch_warnings():
        # The new names came after transformers 5.17, which is the oldest that we run with.
        warnings.filterwarnings("ignore", "`gradient_checkpointing_.*able` is deprecated", FutureWarning)
        if level == "none":
            inner.gradient_checkpointing_disable()
        else:
            inner.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if level == "offload":
        offload = Offload()
        for module in inner.modules():
            if isinstance(module, GradientCheckpointingLayer):
                module._gradient_checkpointing_func = offload  # type: ignore[assignment]
    for block in whole_layers(inner):
        make_products_again(block, level == "selective")
        if level == "selective":
            block.gradient_checkpointing = False  # type: ignore[assignment]
