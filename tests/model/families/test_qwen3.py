from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.model.families.conversations import (
    ASKED,
    CONVERSATIONS,
    tiny_family,
    trained_text,
)
from tests.tiny import CHATML, official_template
from tunesmith.errors import DataError, ModelError
from tunesmith.model.families import Family
from tunesmith.records.conversation import Conversation, Text, Turn

THOUGHT = Conversation("t:1", (ASKED,), "<think>\nTwo and two.\n</think>\n\nFour.")


@pytest.fixture(scope="module")
def answering(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return tiny_family(tmp_path_factory.mktemp("off"), "qwen3", official_template("qwen3"))


@pytest.fixture(scope="module")
def thinking(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return tiny_family(tmp_path_factory.mktemp("on"), "qwen3", official_template("qwen3"), thinking=True)


def read(family: Family, text: str) -> tuple[str, bool]:
    return family.parse(family.tokenizer(text)["input_ids"])


def test_off_the_empty_thinking_block_is_asked_and_not_trained(answering: Family) -> None:
    asked = answering.tokenizer.decode(answering.prompt(CONVERSATIONS["plain"]).tokens)
    assert asked.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert trained_text(answering, CONVERSATIONS["plain"], "answer") == "Four.<|im_end|>"


def test_on_the_references_thinking_is_trained_and_not_read(thinking: Family) -> None:
    assert thinking.tokenizer.decode(thinking.prompt(THOUGHT).tokens).endswith("<|im_start|>assistant\n")
    assert trained_text(thinking, THOUGHT, "answer") == THOUGHT.answer + "<|im_end|>"
    assert thinking.parse(thinking.continuation(THOUGHT, THOUGHT.answer).tolist()) == ("Four.", True)


def test_thinking_that_was_never_closed_is_no_answer(thinking: Family, answering: Family) -> None:
    assert read(thinking, "<think>\nTwo and") == ("", False)
    assert read(thinking, "<think>\nTwo and<|im_end|>") == ("", False)
    assert read(thinking, "<think>\nTwo\n</think>\n\nFour") == ("Four", False)
    assert read(answering, "Four.<|im_end|>") == ("Four.", True)


def test_models_that_always_think_are_read_from_the_end_of_their_thinking(tmp_path: Path) -> None:
    template = CHATML.replace("assistant\n'", "assistant\n<think>\n'").replace(
        "message['content']", "('<think>\n' if message.role == 'assistant' else '') + message['content']"
    )
    family = tiny_family(tmp_path, "qwen3", template, thinking=True)
    assert read(family, "Two and two.\n</think>\n\nFour.<|im_end|>") == ("Four.", True)
    assert read(family, "Two and two") == ("", False)


def test_a_reference_with_thinking_is_refused_when_thinking_is_off(answering: Family) -> None:
    with pytest.raises(
        DataError, match=r"t:1: the answer holds <think>, but thinking is off. Set model.thinking: true"
    ):
        answering.render(THOUGHT)


@pytest.mark.parametrize(
    "answer", ["Well <think>no</think> yes", "<think>a</think><think>b</think>c", "<think>a"]
)
def test_thinking_that_the_template_would_mangle_is_refused(thinking: Family, answer: str) -> None:
    with pytest.raises(
        DataError, match=r"t:1: the answer's thinking must be one <think>...</think> at its beginning"
    ):
        thinking.render(replace(THOUGHT, answer=answer))


def test_users_may_write_about_thinking_tags(answering: Family) -> None:
    asked = Conversation("t:2", (Turn.of("user", "Put it into <think> tags"),), "Yes")
    assert trained_text(answering, asked, "answer") == "Yes<|im_end|>"


def test_thinking_of_earlier_turns_is_dropped_as_the_template_drops_it(thinking: Family) -> None:
    turns = (ASKED, Turn.of("assistant", "<think>\nHm.\n</think>\n\n<i>Four</i>"), Turn.of("user", "Sure?"))
    text = trained_text(thinking, Conversation("t:3", turns, "Yes"), "assistant")
    assert text == "<i>Four</i><|im_end|><think>\n\n</think>\n\nYes<|im_end|>"


def test_thinking_is_refused_where_the_template_has_no_switch(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot switch thinking"):
        tiny_family(tmp_path, "qwen3", official_template("qwen3_instruct_2507"), thinking=True)


CALL = '{"name": "add", "arguments": {"x": 1}}'
ADD = '{"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {}}}'


def replied(**more: object) -> Conversation:
    reply = Turn("assistant", (Text("Four."),), **more)  # type: ignore[arg-type]
    return Conversation("t:1", (ASKED,), "Four.", reply=reply)


def test_reasoning_content_is_trained_as_the_template_writes_it(thinking: Family, answering: Family) -> None:
    thought = replied(reasoning="Two and two.")
    assert trained_text(thinking, thought, "answer") == "<think>\nTwo and two.\n</think>\n\nFour.<|im_end|>"
    with pytest.raises(
        DataError, match=r"t:1: the answer has reasoning_content, but thinking is off.*data\.ignore"
    ):
        answering.render(thought)


def test_tools_are_shown_and_calls_are_trained(answering: Family) -> None:
    calling = replace(replied(tool_calls=(CALL,)), answer=f"Four.\n{CALL}", tools=(ADD,))
    assert '"description": "Adds."' in answering.tokenizer.decode(answering.prompt(calling).tokens)
    text = trained_text(answering, calling, "answer")
    assert text == f"Four.\n<tool_call>\n{CALL}\n</tool_call><|im_end|>"
    weighed = answering.tokenizer.decode(answering.continuation(calling, calling.answer))
    assert weighed == text


def test_a_turn_that_is_not_to_be_trained_is_not_whatever_else_is(answering: Family) -> None:
    earlier = Turn("assistant", (Text("WRONG"),), trained=False)
    conversation = Conversation("t:1", (ASKED, earlier, Turn.of("user", "And?")), "Five.")
    for trained in ("assistant", "all"):
        text = trained_text(answering, conversation, trained)
        assert "WRONG" not in text
        assert "Five." in text
    assert "And?" in text
