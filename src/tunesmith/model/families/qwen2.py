"""Qwen2 and Qwen2.5: ChatML, on top of a pretraining that ends its documents with a token of its own."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

from tunesmith.model.families.generic import Generic

END_OF_DOCUMENT = "<|endoftext|>"


class Qwen2(Generic):
    """A turn ends with <|im_end|>; base models, and tuned ones now and then, end with <|endoftext|>
    instead."""

    is_verified: ClassVar[bool] = True

    @cached_property
    def stop_tokens(self) -> tuple[int, ...]:
        """Ids that end an answer, the end of a document among them."""
        end_of_document = self.tokenizer.get_vocab().get(END_OF_DOCUMENT)
        ends = set(super().stop_tokens)
        return tuple(sorted(ends if end_of_document is None else ends | {end_of_document}))
