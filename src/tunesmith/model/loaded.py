"""A model that is ready to train or to answer, with its family and where and how it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import chain

import torch
from jaxtyping import Float
from torch import Tensor

from tunesmith.batching.batch import Batch
from tunesmith.model.families import Family
from tunesmith.model.heads import ClassHead


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
    kernels: str = "none"
    """What stands in the place of plain layers: fused, liger or none."""
    cuda_graphs: bool = False
    """Whether stacks of small fused layers may be replayed as CUDA graphs."""
    head: ClassHead | None = None
    """The classification head on the model's final hidden states, if the task has one."""

    @property
    def modules(self) -> Iterator[torch.nn.Module]:
        """Every module of the model and its head."""
        return chain(self.model.modules(), self.head.modules() if self.head is not None else ())

    def train(self, mode: bool = True) -> None:
        """Put model and head into training mode, or into eval mode."""
        self.model.train(mode)
        if self.head is not None:
            self.head.train(mode)

    def precision(self) -> AbstractContextManager[object]:
        """Context in which forward passes run."""
        if self.compute == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.compute)

    def logits(self, batch: Batch) -> Float[Tensor, "prediction vocabulary"]:
        """Logits where the batch predicts; call it within `precision()`."""
        return self.family.logits(self.model, batch)

    def class_logits(self, batch: Batch) -> Float[Tensor, "segment label"]:
        """The head's number for each class of every example of the batch, in fp32; call it within `precision()`."""
        assert self.head is not None, "the model has no head"
        return self.head(self.family.hidden(self.model, batch), batch.segments)  # type: ignore[no-any-return]
