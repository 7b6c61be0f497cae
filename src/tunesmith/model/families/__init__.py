"""The shelf of model families: one file per `model_type` in a model's `config.json`; `generic` for all
others.

A family knows what is particular to its models, and nothing outside this folder does: how a conversation
becomes tokens (the same renderer makes the training example, the prompt, and the parse of the answer), which
modules form which part, and how a packed batch goes through.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Int32

from tunesmith.config.shelf import Shelf
from tunesmith.data.conversation import Conversation
from tunesmith.data.example import Example

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

    from tunesmith.data.batch import Batch

Trained = Literal["answer", "assistant", "all"]


class Family(ABC):
    """What every family can do."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig, thinking: bool = False
    ) -> None:
        self.tokenizer = tokenizer
        self.config = config
        self.thinking = thinking

    @abstractmethod
    def render(self, conversation: Conversation, trained: Trained = "answer") -> Example:
        """The training example, token by token what the official chat template gives; DataError names the
        record if its text holds control tokens."""

    @abstractmethod
    def prompt(self, conversation: Conversation) -> Int32[np.ndarray, "token"]:
        """Tokens up to where the answer begins: what `render` has there, exactly."""

    @abstractmethod
    def continuation(self, conversation: Conversation, text: str) -> Int32[np.ndarray, "token"]:
        """Tokens that `render` would put (and train) after the prompt if the answer were `text`, its end
        included."""

    @abstractmethod
    def parse(self, tokens: Sequence[int]) -> tuple[str, bool]:
        """The answer's text without control tokens and thinking, and whether it ended by itself."""

    @property
    @abstractmethod
    def stop_tokens(self) -> tuple[int, ...]:
        """Ids that end an answer."""

    @property
    @abstractmethod
    def max_tokens(self) -> int:
        """Most tokens that the model's positions allow."""

    @abstractmethod
    def parts(self, model: nn.Module) -> dict[str, dict[str, nn.Module]]:
        """The model's parts, each as its modules by full name (the names without any adapter's wrapping)."""

    @abstractmethod
    def logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Logits at `batch.predicting` only, (prediction, vocabulary), in the model's own precision."""


def family_of(model_type: str) -> type[Family]:
    """The family of a model type; the generic one if no file on the shelf has its name."""
    shelf = Shelf("tunesmith.model.families")
    known = model_type.replace("_", "-") in shelf.kinds()
    return shelf.item(model_type if known else "generic")  # type: ignore[no-any-return]
