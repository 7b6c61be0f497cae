"""Qwen2 and Qwen2.5: ChatML, after a pretraining whose documents end with another token."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

from tunesmith.model.families._layer_specs import decoder_layer
from tunesmith.model.families.generic import Generic

END_OF_DOCUMENT = "<|endoftext|>"


class Qwen2(Generic):
    """ChatML, whose turns end with <|im_end|>; base models, and sometimes tuned ones, end with <|endoftext|>."""

    is_verified: ClassVar[bool] = True
    layer_classes: ClassVar = {"Qwen2DecoderLayer": decoder_layer}
    norm_classes: ClassVar = {"Qwen2RMSNorm": 0.0}

    @cached_property
    def stop_tokens(self) -> tuple[int, ...]:
        """Ids that end an answer, the end of a document among them."""
        end_of_document = self.tokenizer.get_vocab().get(END_OF_DOCUMENT)
        ends = set(super().stop_tokens)
        return tuple(sorted(ends if end_of_document is None else ends | {end_of_document}))
