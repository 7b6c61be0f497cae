from __future__ import annotations

from typing import Any

import pytest

from tunesmith.data.record import Record
from tunesmith.errors import DataError
from tunesmith.tasks import Answer
from tunesmith.tasks.chat import Chat

SYSTEM = {"role": "system", "content": "S"}
USER = {"role": "user", "content": "U"}
ASSISTANT = {"role": "assistant", "content": "A"}


def turns(messages: Any, task: Chat | None = None) -> list[tuple[str, str]]:
    conversation = (task or Chat()).conversation(Record("chat.jsonl:5", {"messages": messages}))
    return [(turn.role, turn.text) for turn in conversation.turns] + [("answer", conversation.answer)]


def test_the_last_assistant_turn_is_the_answer() -> None:
    assert turns([SYSTEM, USER, ASSISTANT, USER, ASSISTANT]) == [
        ("system", "S"), ("user", "U"), ("assistant", "A"), ("user", "U"), ("answer", "A"),
    ]  # fmt: skip


def test_the_records_own_system_message_goes_before_the_tasks() -> None:
    task = Chat(system="T")
    assert turns([SYSTEM, USER, ASSISTANT], task)[0] == ("system", "S")
    assert turns([USER, ASSISTANT], task)[0] == ("system", "T")


def test_content_may_be_a_list_of_text_pieces() -> None:
    pieces = {"role": "user", "content": [{"type": "text", "text": "U"}, {"type": "text", "text": "V"}]}
    assert turns([pieces, ASSISTANT])[0] == ("user", "UV")


@pytest.mark.parametrize(
    ("messages", "fault"),
    [
        ("hello", ": is str, but must be a list of messages with role and content"),
        ([], ": is empty; there must be at least a user's message and the assistant's answer"),
        ([USER], ": ends with the user's message; the last one must be the assistant's answer"),
        ([SYSTEM], ": ends with the system's message; the last one must be the assistant's answer"),
        (
            [USER, USER, ASSISTANT],
            "[1]: is the user's, but must be the assistant's: user and assistant take turns",
        ),
        ([ASSISTANT], "[0]: is the assistant's, but must be the user's: user and assistant take turns"),
        (
            [USER, SYSTEM, ASSISTANT],
            "[1]: is the system's, but must be the assistant's: user and assistant take turns",
        ),
        (
            [{"role": "usr", "content": "x"}, ASSISTANT],
            "[0]: unknown role 'usr' (system, user, assistant). Did you mean 'user'?",
        ),
        ([USER, {"role": "assistant", "content": " "}], "[1]: content of the assistant is empty"),
        ([USER, {"role": "assistant"}], "[1]: must have role and content, but is {'role': 'assistant'}"),
        (
            [{"role": "user", "content": [{"type": "image"}]}, ASSISTANT],
            "[0]: content of the user is neither text nor a list of text pieces",
        ),
    ],
)
def test_what_is_wrong_is_said_by_record(messages: Any, fault: str) -> None:
    with pytest.raises(DataError) as caught:
        turns(messages)
    assert str(caught.value) == f"chat.jsonl:5: messages{fault}"


def test_all_bad_messages_are_named_at_once() -> None:
    with pytest.raises(DataError) as caught:
        turns([{"role": "tool", "content": "x"}, {"role": "user", "content": None}])
    assert [line.partition("]")[0] for line in str(caught.value).splitlines()] == [
        "chat.jsonl:5: messages[0", "chat.jsonl:5: messages[1",
    ]  # fmt: skip


def test_written_answers_have_no_loss() -> None:
    task = Chat()
    conversation = task.conversation(Record("a:1", {"messages": [USER, ASSISTANT]}))
    assert task.mark(conversation, Answer("A"), "A") == {"nats": None, "tokens": None}
    weighed = Answer("A", scores=(-2.5,), num_tokens=(3,))
    assert task.mark(conversation, weighed, "A") == {"nats": 2.5, "tokens": 3}
