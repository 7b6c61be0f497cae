"""Task `chat`: conversations as they are, judged by how likely the model finds the last answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import Field

from tunesmith.config.settings import FieldNames
from tunesmith.data.conversation import Conversation, Piece, Text, Turn
from tunesmith.data.picture import Picture
from tunesmith.data.record import Record
from tunesmith.errors import DataError, counted, did_you_mean
from tunesmith.tasks import Answer, Task, Unread
from tunesmith.tasks._prompt import earlier_turns, text_of, value_of

_ROLES = ("system", "user", "assistant")
_PLACE = "<image>"
"""Where a text shows a picture, as LLaMA-Factory and TRL write it."""
_PICTURE_TYPES = ("image", "image_url")
_USUAL_FIELDS = ("images", "image")


class Chat(Task):
    """Conversations whose last assistant turn is the answer."""

    kind: Literal["chat"] = "chat"
    field: str = "messages"
    """Record field with the list of messages, each a `role` (system, user, assistant) and its `content`."""
    pictures: FieldNames = Field(default_factory=list)
    """Record fields with a picture, or a list of them. In order, they stand where users' messages have `<image>` or
    a content part of type `image`; without any such place all stand before the first user's text."""

    default_metrics: ClassVar[tuple[str, ...]] = ("loss", "perplexity")
    marks: ClassVar[tuple[str, ...]] = ("nats", "tokens")

    @property
    def default_engine(self) -> str:
        """The reference answer is weighed."""
        return "score"

    def fields_asked(self) -> tuple[str, ...]:
        """The messages, and the fields of the pictures."""
        return tuple(dict.fromkeys((self.field, *self.pictures)))

    def picture_fields(self) -> tuple[str, ...]:
        """Fields with pictures."""
        return tuple(self.pictures)

    def ask(self, record: Record, shots: Sequence[Conversation] = ()) -> Conversation:
        """The messages up to the last one of the user's; DataError names all faults.

        A system message of the record's own goes before the task's `system`.
        """
        turns = self._read_turns(record)
        if turns[-1].role == "assistant":
            turns.pop()
        return self._asked(record, turns, shots)

    def conversation(self, record: Record, shots: Sequence[Conversation] = ()) -> Conversation:
        """The messages up to the last answer, which is the reference; DataError names all faults."""
        *before, answer = self._read_turns(record)
        if answer.role != "assistant":
            raise DataError(
                f"{record.id}: {self.field}: ends with the {answer.role}'s message; the last one must be the "
                "assistant's answer"
            )
        return replace(self._asked(record, before, shots), answer=answer.text)

    def _asked(self, record: Record, turns: list[Turn], shots: Sequence[Conversation]) -> Conversation:
        if turns[0].role == "system":
            opening, turns = turns[:1], turns[1:]
        else:
            opening = [] if self.system is None else [Turn.of("system", self.system)]
        return Conversation(record.id, (*opening, *earlier_turns(record, shots), *turns), "")

    def _read_turns(self, record: Record) -> list[Turn]:
        """All messages of a record with their pictures; DataError names all faults."""
        messages = value_of(record, self.field, "task.field")
        faults = list(_faults(messages, bool(self.pictures)))
        if faults:
            listed = "\n".join(f"{record.id}: {self.field}{fault}" for fault in faults)
            raise DataError(listed)
        if not self.pictures:
            _refuse_unnamed(record, messages)
        pictures = _pictures(record, self.pictures)
        if self.pictures:
            return _turns(record, messages, pictures)
        return [Turn.of(message["role"], _text(message["content"]) or "") for message in messages]

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


def _pictures(record: Record, fields: Sequence[str]) -> list[Picture]:
    """The pictures of all fields in order; null is none. DataError names all fields that are missing or hold
    something else."""
    found, faults = [], []
    for name in fields:
        if name in record.fields and record.fields[name] is None:
            continue
        try:
            value = value_of(record, name, "task.pictures")
        except DataError as fault:
            faults.append(str(fault))
            continue
        several = value if isinstance(value, list) else [value]
        found += [one for one in several if isinstance(one, Picture)]
        if not all(isinstance(one, Picture) for one in several):
            faults.append(
                f"{record.id}: task.pictures: field {name!r} is {text_of(value)[:60]!r}, which is no picture"
            )
    if faults:
        raise DataError("\n".join(faults))
    return found


def _refuse_unnamed(record: Record, messages: Sequence[Any]) -> None:
    """DataError if users' messages have places for pictures that the record has, but the task does not name."""
    there = [name for name in _USUAL_FIELDS if record.fields.get(name)]
    if there and any(
        message["role"] == "user" and _PLACE in (_text(message["content"]) or "") for message in messages
    ):
        raise DataError(
            f"{record.id}: the users' messages have places for pictures ({_PLACE}), and the record a field "
            f"{there[0]!r}, but task.pictures names none. Set task.pictures to [{there[0]}]"
        )


def _turns(record: Record, messages: Sequence[Any], pictures: Sequence[Picture]) -> list[Turn]:
    """The messages with their pictures; DataError if there are not as many places as pictures."""
    texts = [_text(message["content"]) or "" for message in messages]
    is_users = [message["role"] == "user" for message in messages]
    places = sum(text.count(_PLACE) for text, is_user in zip(texts, is_users, strict=True) if is_user)
    if not places:
        first = is_users.index(True)
        texts[first] = _PLACE * len(pictures) + texts[first]
    elif places != len(pictures):
        raise DataError(
            f"{record.id}: the users' messages have {counted(places, 'place')} for pictures ({_PLACE}, or parts of "
            f"type image), but task.pictures gives {len(pictures)}. Have one for each picture, or none at all: "
            "then all stand before the first text"
        )
    left = iter(pictures)
    return [
        Turn(message["role"], tuple(_pieces(text, left)) if is_user else (Text(text),))
        for message, text, is_user in zip(messages, texts, is_users, strict=True)
    ]


def _pieces(text: str, pictures: Iterator[Picture]) -> Iterator[Piece]:
    """The text with the next pictures in its places."""
    for number, between in enumerate(text.split(_PLACE)):
        if number:
            yield next(pictures)
        if between:
            yield Text(between)


def _is_picture(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") in _PICTURE_TYPES


def _faults(messages: Any, shows_pictures: bool) -> Iterator[str]:
    """What is wrong with a list of messages, each as `[index]: what`."""
    if not isinstance(messages, list):
        yield f": is {type(messages).__name__}, but must be a list of messages with role and content"
        return
    if not messages:
        yield ": is empty; there must be at least a user's message and the assistant's answer"
        return
    whole = True
    for index, message in enumerate(messages):
        fault = _fault(message, shows_pictures)
        whole = whole and fault is None
        if fault is not None:
            yield f"[{index}]: {fault}"
    if whole:
        yield from _faults_of_order([message["role"] for message in messages])


def _fault(message: Any, shows_pictures: bool) -> str | None:
    if not isinstance(message, Mapping) or "role" not in message or "content" not in message:
        return f"must have role and content, but is {str(message)[:80]}"
    role = message["role"]
    if role not in _ROLES:
        return f"unknown role {role!r} ({', '.join(_ROLES)}).{did_you_mean(str(role), _ROLES)}"
    content = message["content"]
    if isinstance(content, list) and any(map(_is_picture, content)):
        if role != "user":
            return f"content of the {role} has a picture; only users' messages can"
        if not shows_pictures:
            return "content of the user has a picture; name the fields that hold them in task.pictures"
    text = _text(content)
    if text is None:
        return f"content of the {role} is neither text nor a list of text and picture parts"
    return f"content of the {role} is empty" if not text.strip() else None


def _faults_of_order(roles: list[str]) -> Iterator[str]:
    start = 1 if roles[0] == "system" else 0
    for index, role in enumerate(roles[start:], start):
        wanted = "user" if (index - start) % 2 == 0 else "assistant"
        if role != wanted:
            yield f"[{index}]: is the {role}'s, but must be the {wanted}'s: user and assistant take turns"
            return
    if start == len(roles):
        yield ": has no message but the system's; the user must ask something"


def _text(content: Any) -> str | None:
    """The text of a message; of a list of parts, `{"type": "text", "text": ...}` joined and the mark of a place for
    each picture; None for anything else."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    texts = [
        _PLACE if _is_picture(part) else part["text"]
        for part in content
        if isinstance(part, Mapping) and (_is_picture(part) or isinstance(part.get("text"), str))
    ]
    return "".join(texts) if len(texts) == len(content) else None
