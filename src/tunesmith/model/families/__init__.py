"""The registry of model families: one file per `model_type` in a model's `config.json`; `generic` for all
others.

A family knows what is particular to its models, and nothing outside this folder does: how a conversation
becomes tokens (the same renderer makes the training example, the prompt, and the parse of the answer), which
modules form which part, and how a packed batch goes through.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, final

import numpy as np
from jaxtyping import Int32

from tunesmith.batching.example import Example
from tunesmith.config.registry import Registry
from tunesmith.errors import ModelError
from tunesmith.images.boxes import Box, Boxes
from tunesmith.images.picture import Picture
from tunesmith.records.conversation import Conversation

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from tunesmith.batching.batch import Batch
    from tunesmith.kernels.fusion.layer_spec import LayerSpec, NormSpec
    from tunesmith.model.families._image_processor import ImageProcessorConfig

Trained = Literal["answer", "assistant", "all"]

FOR_TEXT = "Qwen2.5 or Qwen3"
FOR_PICTURES = "Qwen2-VL, Qwen2.5-VL and Qwen3-VL"
"""Models to use instead of one that cannot be trained."""


class Family(ABC):
    """What every family can do."""

    has_vision: ClassVar[bool] = False
    """True if its models take pictures."""
    is_verified: ClassVar[bool] = True
    """True if tests hold packed batches of its models to transformers; other models are tried when they are loaded."""
    prefixes: ClassVar[Mapping[str, tuple[str, ...]]] = {"language": ("",)}
    """By part, how the full names of its modules begin; the first that fits counts."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        config: PreTrainedConfig,
        thinking: bool = False,
        image_processor: ImageProcessorConfig | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.config = config
        self.thinking = thinking
        self.image_processor = image_processor

    @abstractmethod
    def render_all(
        self, conversations: Iterable[Conversation], trained: Trained = "answer"
    ) -> Iterator[Example]:
        """The training examples in order, token by token what the official chat template gives; DataError names the
        first record whose text holds control tokens. Conversations are taken some ahead of what comes out."""

    @abstractmethod
    def prompt_all(self, conversations: Iterable[Conversation]) -> Iterator[Example]:
        """All up to where each answer begins: what `render_all` has there, exactly; nothing of it is trained."""

    @abstractmethod
    def check(self, conversation: Conversation) -> None:
        """Raise DataError if the model cannot be shown the conversation.

        That is so for control tokens in a text, and for reasoning, tools or tool calls that the chat template does not
        write.
        """

    @property
    @abstractmethod
    def control_tokens(self) -> tuple[str, ...]:
        """Texts that `check` refuses inside a conversation."""

    @final
    def render(self, conversation: Conversation, trained: Trained = "answer") -> Example:
        """The training example of one conversation."""
        return next(iter(self.render_all([conversation], trained)))

    @final
    def prompt(self, conversation: Conversation) -> Example:
        """The prompt of one conversation."""
        return next(iter(self.prompt_all([conversation])))

    @abstractmethod
    def continuation(
        self, conversation: Conversation, text: str | None = None
    ) -> Int32[np.ndarray, " token"]:
        """The tokens after the prompt if the answer were `text` (None: the reference), end of turn included.

        They are what `render` trains.
        """

    @abstractmethod
    def parse(self, tokens: Sequence[int]) -> tuple[str, bool]:
        """The answer's text without control tokens and thinking, and whether it ended by itself."""

    def boxes(self, text: str, asked: Boxes) -> tuple[Box, ...]:
        """The things that an answer's text names, given the reference (its picture, labels and form); ValueError
        says why none can be read."""
        raise ModelError(
            f"task.kind: {self.config.model_type} has no pictures, so it cannot say where things are in them. Use "
            "a Qwen-VL model"
        )

    @classmethod
    def shows_pictures(cls, tokenizer: PreTrainedTokenizerBase, template: str) -> bool:
        """Whether a chat template writes the mark of a picture that a message holds."""
        return False

    def picture_example(self, record: str, pictures: Sequence[Picture]) -> Example:
        """The tokens of these pictures one after the other, without a chat template; nothing of it is trained."""
        raise ModelError(f"{record}: {self.config.model_type} models take no pictures. Use a Qwen-VL model")

    def layer_spec(self, layer: nn.Module) -> LayerSpec | None:
        """How a layer is built; None for a module that the family does not describe, which then runs unfused."""
        return None

    def norm_spec(self, norm: nn.Module) -> NormSpec | None:
        """What a norm computes; None for a module that the family does not describe."""
        return None

    def post_load(self, model: PreTrainedModel) -> None:
        """Change a freshly loaded model in place where the family needs it; nothing for most."""
        return

    def for_generation(self, prompts: Sequence[Example], device: torch.device) -> dict[str, torch.Tensor]:
        """What transformers' `generate` must be given beside the padded tokens of these prompts."""
        return {}

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what belongs next to saved weights: tokenizer, stop tokens, image processor settings."""

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
    def hidden(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The final hidden state of every token (after the last normalisation), (token, width), in the model's own
        precision."""

    @abstractmethod
    def logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Logits at `batch.predicting` only, (prediction, vocabulary), in the model's own precision."""


def family_of(model_type: str) -> type[Family]:
    """The family of a model type; the generic one if no file in the registry has its name."""
    registry = Registry("tunesmith.model.families")
    kind = model_type.replace("_", "-")
    return registry.item(kind if kind in registry.kinds() else "generic")  # type: ignore[no-any-return]
