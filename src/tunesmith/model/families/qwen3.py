"""Qwen3: a model that can think before it answers. Training, prompts and parsing follow one switch.

Off, the prompt holds an empty thinking block and the answer comes after it. On, the prompt ends where
thinking would begin, and the block is part of what is trained: the reference's own, or the template's empty
one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from tunesmith.errors import DataError
from tunesmith.model.families._layer_specs import decoder_layer
from tunesmith.model.families.qwen2 import Qwen2
from tunesmith.records.conversation import Conversation

OPEN, CLOSE = "<think>", "</think>"


class Qwen3(Qwen2):
    """ChatML with thinking.

    The official template drops newlines before an answer, and the thinking of all turns but the last."""

    layer_classes: ClassVar = {"Qwen3DecoderLayer": decoder_layer}
    norm_classes: ClassVar = {"Qwen3RMSNorm": 0.0}

    def parse(self, tokens: Sequence[int]) -> tuple[str, bool]:
        """The answer's text after its thinking, and whether it ended by itself. Thinking that was never
        closed is no answer yet: the text is empty and did not end."""
        opening, closing = self._tags
        if closing is not None and closing in tokens:
            last = len(tokens) - 1 - list(reversed(tokens)).index(closing)
            text, ended = super().parse(tokens[last + 1 :])
            return text.lstrip("\n"), ended
        if opening in tokens or self._prompt_opens_thinking:
            return "", False
        return super().parse(tokens)

    @cached_property
    def _tags(self) -> tuple[int | None, int | None]:
        """Ids that open and close thinking; None if the vocabulary has none."""
        vocabulary = self.tokenizer.get_vocab()
        return vocabulary.get(OPEN), vocabulary.get(CLOSE)

    def _template_settings(self) -> Mapping[str, Any]:
        return {"enable_thinking": self.thinking}

    def _can_think(self) -> bool:
        messages = [{"role": "user", "content": "x"}]
        prompts = {
            self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True, enable_thinking=thinking
            )
            for thinking in (True, False)
        }
        return len(prompts) == 2 or self._prompt_opens_thinking

    @cached_property
    def _prompt_opens_thinking(self) -> bool:
        """True for models that always think: their prompt ends with an open block."""
        prompt = self._apply("chat template", [{"role": "user", "content": "x"}], prompting=True)
        return prompt.rfind(OPEN) > prompt.rfind(CLOSE)

    def _earlier_header(self, header: str) -> str:
        return header.partition(OPEN)[0]

    def check(self, conversation: Conversation) -> None:
        """Raise DataError for control tokens, for what the template leaves out, and for thinking that it would lose."""
        super().check(conversation)
        answer = conversation.answer
        if conversation.reply is not None and conversation.reply.reasoning and not self.thinking:
            raise DataError(
                f"{conversation.record}: the answer has reasoning_content, but thinking is off. Set model.thinking: "
                "true to train it, or add reasoning_content to data.ignore"
            )
        if OPEN not in answer and CLOSE not in answer:
            return
        if not self.thinking:
            raise DataError(
                f"{conversation.record}: the answer holds {OPEN}, but thinking is off. Set model.thinking: "
                "true to train it, or remove the thinking from the record"
            )
        once = answer.count(OPEN) == answer.count(CLOSE) == 1
        if not once or not answer.lstrip("\n").startswith(OPEN):
            raise DataError(
                f"{conversation.record}: the answer's thinking must be one {OPEN}...{CLOSE} at its "
                "beginning; the chat template would lose text otherwise"
            )
