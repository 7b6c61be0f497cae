"""Task `chat`: conversations as they are, judged by how likely the model finds the last answer."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Literal

from pydantic import Field

from tunesmith.config.settings import FieldNames
from tunesmith.errors import DataError
from tunesmith.images.picture import Picture
from tunesmith.records.chat_formats import LAYOUT_FIELDS, pictures_field, with_messages, with_pictures_apart
from tunesmith.records.conversation import Conversation, Piece, Text, Turn
from tunesmith.records.record import Record
from tunesmith.tasks import Answer, Task, Unread
from tunesmith.tasks._messages import Message, faults_of_order, read_message, tools_of
from tunesmith.tasks._places import MARK, between_places, order_of_places
from tunesmith.tasks._prompt import all_of, earlier_turns, fields_of, fill, pictures_of, value_of

_USUAL_FIELDS = ("images", "image")


class Chat(Task):
    """Conversations whose last assistant turn is the answer."""

    kind: Literal["chat"] = "chat"
    field: str = "messages"
    """Record field with the list of messages, each a `role` (system, user, assistant, tool) and its `content`. Other
    layouts of chats (docs/data-formats.md) are converted to it."""
    pictures: FieldNames = Field(default_factory=list)
    """Record fields with a picture, or a list of them; the field of the messages stands for the pictures that their
    parts name. In order, they stand where users' messages have `<image>` or a content part of type `image`; without
    any such place all stand before the first user's text."""

    default_metrics: ClassVar[tuple[str, ...]] = ("loss", "perplexity")
    marks: ClassVar[tuple[str, ...]] = ("nats", "tokens")

    @property
    def default_engine(self) -> str:
        """The reference answer is weighed."""
        return "score"

    def fields_asked(self) -> tuple[str, ...]:
        """The messages, the fields of the system prompt, and those of the pictures."""
        return tuple(dict.fromkeys((self.field, *fields_of(self.system or ""), *self.picture_fields())))

    def fields_heeded(self) -> tuple[str, ...]:
        """The fields of all layouts of chats, and the tools."""
        return LAYOUT_FIELDS

    def fields_as_json(self, record: Record) -> tuple[str, ...]:
        """The messages, if the content of one is an object."""
        return (self.field,) if any(message.is_json for message in self._messages(record)) else ()

    def picture_fields(self) -> tuple[str, ...]:
        """Fields with pictures."""
        return tuple(pictures_field(name) if name == self.field else name for name in self.pictures)

    def laid_out(self, record: Record) -> Record:
        """The record with its messages in one layout, and the pictures that they name in a field of their own."""
        record = with_messages(record, self.field)
        return with_pictures_apart(record, self.field) if self.field in self.pictures else record

    def ask(self, record: Record, shots: Sequence[Conversation] = ()) -> Conversation:
        """The messages up to the last one that is not the assistant's; DataError names all faults.

        A system message of the record's own goes before the task's `system`.
        """
        turns = self._read_turns(record)
        if turns[-1].role == "assistant":
            turns.pop()
        return self._asked(record, turns, shots)

    def conversation(self, record: Record, shots: Sequence[Conversation] = ()) -> Conversation:
        """The messages up to the last answer that is to be trained, which is the reference; DataError names all
        faults."""
        turns = self._read_turns(record)
        if turns[-1].role != "assistant":
            raise DataError(
                f"{record.id}: {self.field}: ends with the {turns[-1].role}'s message; the last one must be the "
                "assistant's answer"
            )
        trained = [index for index, turn in enumerate(turns) if turn.role == "assistant" and turn.trained]
        if not trained:
            raise DataError(
                f"{record.id}: {self.field}: all messages of the assistant are marked as not to be trained. Leave the "
                "record out"
            )
        answer = turns[trained[-1]]
        asked = self._asked(record, turns[: trained[-1]], shots)
        if not answer.reasoning and not answer.tool_calls:
            return replace(asked, answer=answer.text)
        shown = "\n".join([*([answer.text] if answer.text.strip() else []), *answer.tool_calls])
        return replace(asked, answer=shown, reply=answer)

    def _asked(self, record: Record, turns: list[Turn], shots: Sequence[Conversation]) -> Conversation:
        if turns[0].role == "system":
            opening, turns = turns[:1], turns[1:]
        elif self.system is None:
            opening = []
        else:
            opening = [Turn.of("system", fill(self.system, record, setting="task.system"))]
        try:
            tools = tools_of(record.fields)
        except ValueError as fault:
            raise DataError(f"{record.id}: {fault}") from fault
        return Conversation(record.id, (*opening, *earlier_turns(record, shots), *turns), "", tools=tools)

    def _messages(self, record: Record) -> list[Message]:
        """All messages of a record; DataError names all faults."""
        value = value_of(record, self.field, "task.field")
        messages, faults = [], list(_faults(value))
        for index, message in enumerate([] if faults else value):
            try:
                messages.append(read_message(message, bool(self.pictures)))
            except ValueError as fault:
                faults.append(f"[{index}]: {fault}")
        faults = faults or list(faults_of_order(messages))
        if faults:
            raise DataError("\n".join(f"{record.id}: {self.field}{fault}" for fault in faults))
        return messages

    def _read_turns(self, record: Record) -> list[Turn]:
        """All messages of a record as turns, with their pictures; DataError names all faults."""
        messages = self._messages(record)
        if not self.pictures:
            _refuse_unnamed(record, messages)
            return [_turn(message, (Text(message.text),)) for message in messages]
        return _turns(record, messages, _pictures(record, self.picture_fields()))

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
    return [
        picture
        for pictures in all_of(*(partial(pictures_of, record, name) for name in fields))
        for picture in pictures
    ]


def _refuse_unnamed(record: Record, messages: Sequence[Message]) -> None:
    """DataError if users' messages have places for pictures that the record has, but the task does not name."""
    there = [name for name in _USUAL_FIELDS if record.fields.get(name)]
    if there and any(message.role == "user" and MARK.search(message.text) for message in messages):
        raise DataError(
            f"{record.id}: the users' messages have places for pictures (<image>), and the record a field "
            f"{there[0]!r}, but task.pictures names none. Set task.pictures to [{there[0]}]"
        )


def _turn(message: Message, pieces: tuple[Piece, ...]) -> Turn:
    return Turn(message.role, pieces, message.reasoning, message.tool_calls, message.trained)


def _turns(record: Record, messages: Sequence[Message], pictures: Sequence[Picture]) -> list[Turn]:
    """The messages with their pictures; DataError if there are not as many places as pictures, or if a message names
    another picture than the one that would stand there."""
    texts = [message.text if message.role == "user" else "" for message in messages]
    try:
        order = order_of_places(texts, len(pictures))
    except ValueError as fault:
        names_own = any(name is not None for message in messages for name in message.own_pictures)
        own = "; or, since the messages name their pictures, set task.pictures to their own field, such as [messages]"
        raise DataError(f"{record.id}: the users' messages {fault}{own if names_own else ''}") from fault
    placed = list(pictures) if order is None else [pictures[index] for index in order]
    _refuse_other_pictures(record, messages, placed)
    left, turns = iter(placed), []
    for message in messages:
        if message.role != "user":
            turns.append(_turn(message, (Text(message.text),)))
            continue
        first = [] if order is not None else list(left)
        turns.append(
            _turn(message, (*first, *_pieces(message.text, left if order is not None else iter(()))))
        )
    return turns


def _refuse_other_pictures(record: Record, messages: Sequence[Message], placed: Sequence[Picture]) -> None:
    own = [name for message in messages for name in message.own_pictures]
    for name, picture in zip(own, placed, strict=False):
        if name is not None and os.path.normpath(str(name)) != os.path.normpath(picture.path):
            raise DataError(
                f"{record.id}: a message shows the picture {str(name)[:60]!r}, but task.pictures gives "
                f"{picture.path!r} for that place. To take the pictures that the messages name, set task.pictures to "
                "the field of the messages, such as [messages]"
            )


def _pieces(text: str, pictures: Iterator[Picture]) -> Iterator[Piece]:
    """The text with the next pictures in its places."""
    for number, between in enumerate(between_places(text)):
        if number:
            yield next(pictures)
        if between:
            yield Text(between)


def _faults(messages: Any) -> Iterator[str]:
    """Why a value is no list of messages at all."""
    if not isinstance(messages, list):
        yield f": is {type(messages).__name__}, but must be a list of messages with role and content"
    elif not messages:
        yield ": is empty; there must be at least a user's message and the assistant's answer"
