"""A model that is ready to train or to answer, with its family and where and how it runs."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tunesmith.data.batch import Batch
from tunesmith.model.families import Family


@dataclass(eq=False)
class LoadedModel:
    """What `model.load.load` gives. `model` is a transformers model, or PEFT's wrapping of one."""

    model: torch.nn.Module
    family: Family
    device: torch.device
    compute: torch.dtype
    """Precision of the products: fp32 only for fp32 weights, else bf16."""
    attention: str
    """Attention of packed batches: varlen, flash_attention_2, sdpa or eager."""
    notes: tuple[str, ...] = ()
    """How it runs and why so, in words for the log."""
    changed: frozenset[str] = frozenset()
    """Full names of the model's own weights that are not as in its base folder any more."""

    def precision(self) -> AbstractContextManager[object]:
        """Context in which forward passes run."""
        if self.compute == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.compute)

    def logits(self, batch: Batch) -> Float[Tensor, "prediction vocabulary"]:
        """Logits where the batch predicts; call it within `precision()`."""
        return self.family.logits(self.model, batch)
