"""Conversations that every family must render, and the families to render them with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from transformers import AutoConfig

from tests.tiny import CHATML, tiny_tokenizer
from tunesmith.batching.example import Example
from tunesmith.model.families import Family, family_of
from tunesmith.records.conversation import Conversation, Turn

ASKED = Turn.of("user", "What is 2 + 2?")
CONVERSATIONS = {
    "plain": Conversation("a:1", (ASKED,), "Four."),
    "system": Conversation("a:2", (Turn.of("system", "Answer in one word."), ASKED), "Four"),
    "multi-turn": Conversation(
        "a:3",
        (Turn.of("user", "Hi"), Turn.of("assistant", "<b>Hello</b> you"), Turn.of("user", "Bye"),
         Turn.of("assistant", "So soon?"), ASKED),
        "4",
    ),
    "unicode": Conversation("a:4", (Turn.of("user", "naïve 你好 🙂 שלום"),), "Ünïcödé 世界 🙃"),
    "empty answer": Conversation("a:5", (ASKED,), ""),
    "space first": Conversation("a:6", (ASKED,), "  four "),
    "newline first": Conversation("a:7", (ASKED,), "\n\nfour\n"),
    "json": Conversation("a:8", (Turn.of("user", 'Say {"a": 1}'),), '{"category":"World"}', label=2),
}  # fmt: skip


def tiny_family(folder: Path, model_type: str, template: str = CHATML, thinking: bool = False) -> Family:
    """A family on a tiny tokenizer with this chat template."""
    config = AutoConfig.for_model(model_type)
    return family_of(model_type)(tiny_tokenizer(folder, template), config, thinking)


def as_messages(conversation: Conversation) -> list[dict[str, str]]:
    """The whole conversation in the form of transformers."""
    turns = [*conversation.turns, Turn.of("assistant", conversation.answer)]
    return [{"role": turn.role, "content": turn.text} for turn in turns]


def assert_same(some: Sequence[Example], others: Sequence[Example]) -> None:
    """Fail unless all are equal, one by one."""
    for one, other in zip(some, others, strict=True):
        assert (one.record, one.classes, one.pictures) == (other.record, other.classes, other.pictures)
        np.testing.assert_array_equal(one.tokens, other.tokens)
        np.testing.assert_array_equal(one.trained, other.trained)


def trained_text(family: Family, conversation: Conversation, trained: str) -> str:
    """What the model learns to write, as text."""
    example = family.render(conversation, trained)
    return family.tokenizer.decode(example.tokens[example.trained])
