"""Task `chat`: conversations as they are, judged by how likely the model finds the last answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

from tunesmith.data.conversation import Conversation, Turn
from tunesmith.data.record import Record
from tunesmith.errors import DataError, did_you_mean
from tunesmith.tasks import Answer, Task, Unread
from tunesmith.tasks._prompt import earlier_turns, value_of

_ROLES = ("system", "user", "assistant")


class Chat(Task):
    """Conversations whose last assistant turn is the answer."""

    kind: Literal["chat"] = "chat"
    field: str = "messages"
    """Record field with the list of messages, each a `role` (system, user, assistant) and its `content`."""

    default_engine: ClassVar[str] = "score"
    default_metrics: ClassVar[tuple[str, ...]] = ("loss", "perplexity")
    marks: ClassVar[tuple[str, ...]] = ("nats", "tokens")

    def fields_asked(self) -> tuple[str, ...]:
        """The messages."""
        return (self.field,)

    def conversation(self, record: Record, shots: Sequence[Conversation] = ()) -> Conversation:
        """The messages up to the last answer, which is the reference; DataError names all faults.

        A system message of the record's own goes before the task's `system`.
        """
        messages = value_of(record, self.field, "task.field")
        faults = list(_faults(messages))
        if faults:
            listed = "\n".join(f"{record.id}: {self.field}{fault}" for fault in faults)
            raise DataError(listed)
        turns = [Turn.of(message["role"], _text(message["content"]) or "") for message in messages]
        if turns[0].role == "system":
            opening = [turns.pop(0)]
        else:
            opening = [] if self.system is None else [Turn.of("system", self.system)]
        *before, answer = turns
        return Conversation(record.id, (*opening, *earlier_turns(record, shots), *before), answer.text)

    def read(self, answer: Answer) -> str | Unread:
        """The text as it is, if there is any."""
        return answer.text if answer.text.strip() else Unread("is empty")

    def mark(
        self, conversation: Conversation, answer: Answer, reading: str | Unread
    ) -> Mapping[str, float | None]:
        """`nats` (negative log-likelihood of the reference) and its `tokens`; None if not weighed."""
        if isinstance(reading, Unread) or answer.scores is None or answer.num_tokens is None:
            return {"nats": None, "tokens": None}
        return {"nats": -answer.scores[0], "tokens": float(answer.num_tokens[0])}


def _faults(messages: Any) -> Iterator[str]:
    """What is wrong with a list of messages, each as `[index]: what`."""
    if not isinstance(messages, list):
        yield f": is {type(messages).__name__}, but must be a list of messages with role and content"
        return
    if not messages:
        yield ": is empty; there must be at least a user's message and the assistant's answer"
        return
    whole = True
    for index, message in enumerate(messages):
        fault = _fault(message)
        whole = whole and fault is None
        if fault is not None:
            yield f"[{index}]: {fault}"
    if whole:
        yield from _faults_of_order([message["role"] for message in messages])


def _fault(message: Any) -> str | None:
    if not isinstance(message, Mapping) or "role" not in message or "content" not in message:
        return f"must have role and content, but is {str(message)[:80]}"
    role = message["role"]
    if role not in _ROLES:
        return f"unknown role {role!r} ({', '.join(_ROLES)}).{did_you_mean(str(role), _ROLES)}"
    text = _text(message["content"])
    if text is None:
        return f"content of the {role} is neither text nor a list of text pieces"
    return f"content of the {role} is empty" if not text.strip() else None


def _faults_of_order(roles: list[str]) -> Iterator[str]:
    start = 1 if roles[0] == "system" else 0
    for index, role in enumerate(roles[start:], start):
        wanted = "user" if (index - start) % 2 == 0 else "assistant"
        if role != wanted:
            yield f"[{index}]: is the {role}'s, but must be the {wanted}'s: user and assistant take turns"
            return
    if roles[-1] != "assistant":
        yield f": ends with the {roles[-1]}'s message; the last one must be the assistant's answer"


def _text(content: Any) -> str | None:
    """The text of a message; a list of `{"type": "text", "text": ...}` is joined; None for anything else."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    texts = [
        piece["text"]
        for piece in content
        if isinstance(piece, Mapping) and isinstance(piece.get("text"), str)
    ]
    return "".join(texts) if len(texts) == len(content) else None
