"""How many of the activations are kept for the backward pass, and how many are recomputed."""

from __future__ import annotations

import warnings
from typing import Literal

from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from tunesmith.kernels.fusion.patch import iter_fused_layers, set_mlp_recompute
from tunesmith.kernels.modules import transformers_model
from tunesmith.model.activation_offload import Offload

Level = Literal["none", "selective", "full", "offload"]
LEVELS: tuple[Level, ...] = ("none", "selective", "full", "offload")
"""From the fastest to the smallest."""


def checkpoint(model: nn.Module, level: Level) -> None:
    """Set which activations are kept for the backward pass.

    `none` recomputes nothing. `full` keeps the input of each block only; `offload` keeps it in the host's memory.
    `selective` recomputes the two wide products of a fused block's MLP, and is `full` for other blocks.
    """
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
    for block in iter_fused_layers(inner):
        set_mlp_recompute(block, level == "selective")
        if level == "selective":
            block.gradient_checkpointing = False  # type: ignore[assignment]
