"""The layouts in which chats lie about, made into one: a field `messages` of role and content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunesmith.data.record import Record
from tunesmith.errors import DataError, did_you_mean

_SPEAKERS = {
    "system": "system", "human": "user", "user": "user", "assistant": "assistant",
    "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant", "bard": "assistant",
}  # fmt: skip


def with_messages(record: Record) -> Record:
    """The record with a field `messages`, if it is laid out as OpenAI chats (`messages` itself), ShareGPT
    (`conversations` of from and value) or Alpaca (instruction, input, output, also system and history; without an
    output there is no answer); any other record as it is. What a message says is a text, or, with pictures in it,
    OpenAI's list of parts.
    DataError names a speaker or turn that does not fit the layout.

    >>> record = Record("a:1", {"instruction": "Add.", "input": "1 1", "output": "2"})
    >>> with_messages(record).fields["messages"]
    [{'role': 'user', 'content': 'Add.\\n\\n1 1'}, {'role': 'assistant', 'content': '2'}]
    """
    fields = record.fields
    if isinstance(fields.get("messages"), list):
        messages = [_joined(message) for message in fields["messages"]]
        return record if messages == fields["messages"] else _replaced(record, messages)
    if "messages" in fields:
        return record
    if isinstance(fields.get("conversations"), list):
        turns = enumerate(fields["conversations"], 1)
        return _replaced(
            record, _shared_system(fields) + [_shared(record.id, number, turn) for number, turn in turns]
        )
    if isinstance(fields.get("instruction"), str) and isinstance(fields.get("output", ""), str):
        return _replaced(record, _alpaca(record))
    return record


def _replaced(record: Record, messages: list[Any]) -> Record:
    return Record(record.id, {**record.fields, "messages": messages})


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _joined(message: Any) -> Any:
    """A message whose content is a list of text parts, with the texts joined; any other, such as one with a picture
    among its parts, as it is."""
    content = message.get("content") if isinstance(message, Mapping) else None
    if not isinstance(content, list) or not content:
        return message
    texts = [
        part["text"] for part in content if isinstance(part, Mapping) and isinstance(part.get("text"), str)
    ]
    if len(texts) < len(content):
        return message
    return {**message, "content": "".join(texts)}


def _shared_system(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    system = fields.get("system")
    return [_message("system", system)] if isinstance(system, str) and system else []


def _shared(where: str, number: int, turn: Any) -> dict[str, Any]:
    speaker = turn.get("from", turn.get("role")) if isinstance(turn, Mapping) else None
    text = turn.get("value", turn.get("content")) if isinstance(turn, Mapping) else None
    if not isinstance(speaker, str) or not isinstance(text, str | list):
        raise DataError(
            f"{where}: conversations: turn {number} is not of the form {{from: ..., value: ...}} with texts."
        )
    if speaker not in _SPEAKERS:
        raise DataError(
            f"{where}: conversations: turn {number} is from {speaker!r} ({', '.join(_SPEAKERS)})."
            + did_you_mean(speaker, _SPEAKERS)
        )
    message: dict[str, Any] = _joined({"role": _SPEAKERS[speaker], "content": text})
    return message


def _alpaca(record: Record) -> list[dict[str, str]]:
    fields = record.fields
    turns = _shared_system(fields)
    for number, pair in enumerate(fields.get("history") or [], 1):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise DataError(
                f"{record.id}: history: entry {number} is not a pair [instruction, output] of texts."
            )
        turns += [_message("user", pair[0]), _message("assistant", pair[1])]
    more = fields.get("input")
    asked = (
        f"{fields['instruction']}\n\n{more}"
        if isinstance(more, str) and more.strip()
        else fields["instruction"]
    )
    answered = [_message("assistant", fields["output"])] if "output" in fields else []
    return [*turns, _message("user", asked), *answered]
