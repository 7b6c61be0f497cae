"""How much of the activations is kept for the backward pass, and how much is computed again."""

from __future__ import annotations

import warnings
from typing import Literal

from torch import nn

from tunesmith.model.modules import transformers_model

Level = Literal["none", "full"]
RECOMPUTED: dict[Level, float] = {"none": 0.0, "full": 1.0}
"""By level, from the fastest to the smallest: the share of the forward pass that the backward pass does again."""


def checkpoint(model: nn.Module, level: Level) -> None:
    """Keep all activations (`none`), or of each block of the model only what goes into it (`full`)."""
    inner = transformers_model(model)
    with warnings.catch_warnings():
        # The new names came after transformers 5.17, which is the oldest that we run with.
        warnings.filterwarnings("ignore", "`gradient_checkpointing_.*able` is deprecated", FutureWarning)
        if level == "none":
            inner.gradient_checkpointing_disable()
            return
        inner.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
