"""Chat formats of other tools, converted to one: a field `messages` of role and content."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tunesmith.errors import DataError, did_you_mean
from tunesmith.records.record import Record

SPEAKERS = {
    "system": "system", "developer": "system",
    "human": "user", "user": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant", "bard": "assistant",
    "model": "assistant",
    "tool": "tool", "tool_response": "tool", "observation": "tool", "function": "tool", "ipython": "tool",
    "function_call": "assistant", "tool_call": "assistant",
}  # fmt: skip
"""Role by the name that a format gives it."""
_CALLING = ("function_call", "tool_call")
"""Speakers whose text is a function call, or a list of them, as JSON."""
LAYOUT_FIELDS = (
    "conversations", "conversation", "system", "history", "instruction", "input", "output", "query", "response",
    "prompt", "completion", "chosen", "tools", "functions",
)  # fmt: skip
"""Fields of the layouts; `with_messages` reads them, or raises an error if one of them would be lost."""
_PAIRS = (("human", "assistant"), ("user", "assistant"), ("query", "response"), ("instruction", "output"))
_THINKING = re.compile(r"\s*<think>(.*?)</think>\s*", re.DOTALL)


def with_messages(record: Record, field: str = "messages") -> Record:
    """The record with its chat in `field`, as a list of messages with role and content; any other record as it is.

    Understood are OpenAI chats (`messages` itself), ShareGPT (`conversations` of from and value), query and response,
    prompt and completion (or chosen), chosen alone, and Alpaca (instruction, input, output). `system` and `history`
    come first. Without an answer, the chat ends with the question. Other keys of a message stay. DataError names a
    speaker or turn that does not fit the layout, and a field that would be lost.

    >>> record = Record("a:1", {"instruction": "Add.", "input": "1 1", "output": "2"})
    >>> with_messages(record).fields["messages"]
    [{'role': 'user', 'content': 'Add.\\n\\n1 1'}, {'role': 'assistant', 'content': '2'}]
    """
    fields = record.fields
    if field in fields and not isinstance(fields[field], list):
        return record
    found = next(_layouts(record, field), None)
    if found is None:
        return record
    messages, read = found
    messages = [*_system(record, messages), *messages]
    lost = [
        name
        for name in ("history", "conversations", "conversation")
        if name not in read and isinstance(fields.get(name), list) and fields[name]
    ]
    if lost:
        raise DataError(
            f"{record.id}: has {' and '.join(map(repr, lost))} besides {read[0]!r}, so one of them would be lost. Keep "
            f"one, or add {lost[0]!r} to data.ignore"
        )
    if messages == fields.get(field):
        return record
    return Record(record.id, {**fields, field: messages}, record.left_out)


def _layouts(record: Record, field: str) -> Iterator[tuple[list[Any], Sequence[str]]]:
    """The messages by each layout that fits, and the names of the fields that were read."""
    fields = record.fields
    for name in (field, "conversations", "conversation"):
        if isinstance(fields.get(name), list):
            yield _turns(record.id, name, fields[name]), (name,)
    if isinstance(fields.get("query"), str) and isinstance(fields.get("response", ""), str):
        answered = [_message("assistant", fields["response"])] if "response" in fields else []
        yield [*_history(record), _message("user", fields["query"]), *answered], ("query", "history")
    for name in ("completion", "chosen"):
        if name in fields and _is_chat(fields.get("prompt")) and _is_chat(fields[name]):
            turns = [*_spoken(fields["prompt"], "user"), *_spoken(fields[name], "assistant")]
            yield _turns(record.id, f"prompt and {name}", turns), ("prompt",)
    if isinstance(fields.get("chosen"), list) and "prompt" not in fields:
        yield _turns(record.id, "chosen", fields["chosen"]), ("chosen",)
    if isinstance(fields.get("instruction"), str) and isinstance(fields.get("output", ""), str):
        yield [*_history(record), *_alpaca(fields)], ("instruction", "history")


def _message(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


def _is_chat(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(one, Mapping) for one in value)
    )


def _spoken(value: Any, role: str) -> list[Any]:
    return [_message(role, value)] if isinstance(value, str) else list(value)


def _system(record: Record, messages: Sequence[Any]) -> list[dict[str, Any]]:
    """The message of a field `system`, if there is one that the messages do not begin with."""
    system = record.fields.get("system")
    if not isinstance(system, str) or not system:
        return []
    first = messages[0] if messages and isinstance(messages[0], Mapping) else {}
    if first.get("role") != "system":
        return [_message("system", system)]
    if first.get("content") != system:
        raise DataError(
            f"{record.id}: has a field 'system' and a system message that says something else. Keep one, or add "
            "'system' to data.ignore"
        )
    return []


def _turns(where: str, name: str, turns: Iterable[Any]) -> list[Any]:
    """The turns as messages: pairs taken apart, calls that follow each other made one message."""
    messages: list[Any] = []
    for number, turn in enumerate(turns, 1):
        for one in _apart(turn):
            message = _read_turn(where, name, number, one)
            before = messages[-1] if messages else {}
            if (
                isinstance(message, Mapping)
                and set(message) == {"role", "content", "tool_calls"}
                and (
                    isinstance(before, Mapping)
                    and "tool_calls" in before
                    and before.get("role") == "assistant"
                )
            ):
                messages[-1] = {**before, "tool_calls": [*before["tool_calls"], *message["tool_calls"]]}
            else:
                messages.append(message)
    return messages


def _apart(turn: Any) -> list[Any]:
    """The two messages of `{human: ..., assistant: ...}`; any other turn alone."""
    if isinstance(turn, Mapping) and not {"role", "from"} & turn.keys():
        for asked, answered in _PAIRS:
            if isinstance(turn.get(asked), str) and isinstance(turn.get(answered), str):
                rest = {key: value for key, value in turn.items() if key not in (asked, answered)}
                return [
                    {**_message("user", turn[asked]), **rest},
                    {**_message("assistant", turn[answered]), **rest},
                ]
    return [turn]


def _read_turn(where: str, name: str, number: int, turn: Any) -> Any:
    """A turn as a message with role and content; DataError for a turn of from and value that does not fit."""
    if not isinstance(turn, Mapping):
        if name == "conversations":
            raise DataError(f"{where}: {name}: turn {number} is {_UNFIT}")
        return turn
    if "from" not in turn and not (name == "conversations" and "content" not in turn):
        speaker = turn.get("role")
        if not isinstance(speaker, str) or SPEAKERS.get(speaker, speaker) == speaker:
            return _joined(turn)
        rest = {key: value for key, value in turn.items() if key not in ("role", "content")}
        return _spoken_by(where, name, number, speaker, turn.get("content"), rest)
    speaker, text = turn.get("from", turn.get("role")), turn.get("value", turn.get("content"))
    if not isinstance(speaker, str) or not isinstance(text, str | list):
        raise DataError(f"{where}: {name}: turn {number} is {_UNFIT}")
    if speaker not in SPEAKERS:
        raise DataError(
            f"{where}: {name}: turn {number} is from {speaker!r:.60} ({', '.join(SPEAKERS)})."
            + did_you_mean(speaker, SPEAKERS)
        )
    rest = {key: value for key, value in turn.items() if key not in ("from", "role", "value", "content")}
    return _spoken_by(where, name, number, speaker, text, rest)


_UNFIT = "not of the form {from: ..., value: ...} with texts."


def _spoken_by(where: str, name: str, number: int, speaker: str, text: Any, rest: Mapping[str, Any]) -> Any:
    """The message of a speaker in any format."""
    if speaker not in _CALLING or not isinstance(text, str):
        return _joined({"role": SPEAKERS[speaker], "content": text, **rest})
    thought = _THINKING.match(text)
    try:
        calls = json.loads(text[thought.end() :] if thought else text)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{where}: {name}: turn {number} is from {speaker!r}, so it must be a function call as JSON, such as "
            f'{{"name": "add", "arguments": {{"x": 1}}}}, but it is {text[:60]!r}'
        ) from error
    message = {
        "role": "assistant",
        "content": "",
        **rest,
        "tool_calls": calls if isinstance(calls, list) else [calls],
    }
    return message | ({"reasoning_content": thought[1].strip("\n")} if thought else {})


def _joined(message: Mapping[str, Any]) -> Any:
    """A message whose content is a list of text parts, with the texts joined; any other, such as one with a picture
    among its parts, as it is."""
    content = message.get("content")
    if not isinstance(content, list) or not content:
        return message
    texts = [text_of_part(part) for part in content]
    return message if None in texts else {**message, "content": "".join(filter(None, texts))}


def text_of_part(part: Any) -> str | None:
    """The text of a part of a message that is nothing but text; None for any other part."""
    if not isinstance(part, Mapping):
        return None
    held = {key: value for key, value in part.items() if value is not None and key != "type"}
    texts = [held[key] for key in ("text", "value") if isinstance(held.get(key), str)]
    return texts[0] if len(held) == len(texts) == 1 and part.get("type", "text") == "text" else None


PICTURE_PARTS = ("image", "image_url", "input_image")
"""Types of the parts of a message that are pictures."""


def own_picture(part: Mapping[str, Any]) -> Any:
    """The file, address or bytes that a picture part of a message names itself; None if it names none."""
    for key in ("image", "image_url", "path", "url", "source"):
        value = part.get(key)
        if isinstance(value, Mapping) and "url" in value:
            value = value["url"]
        elif isinstance(value, Mapping) and isinstance(value.get("data"), str):
            value = f"data:{value.get('media_type', 'image')};base64,{value['data']}"
        if value is not None and value != "":
            return value
    return None


def pictures_field(field: str) -> str:
    """Name of the field that `with_pictures_apart` puts the pictures of the messages in `field` into."""
    return f"{field}.pictures"


def with_pictures_apart(record: Record, field: str) -> Record:
    """The record with the pictures that the parts of its messages name moved into a field of their own, in order, so
    that they are read as the pictures of any other field."""
    messages = record.fields.get(field)
    if not isinstance(messages, list):
        return record
    found: list[Any] = []

    def without(part: Any) -> Any:
        if not isinstance(part, Mapping) or part.get("type") not in PICTURE_PARTS:
            return part
        picture = own_picture(part)
        if picture is None:
            return part
        found.append(picture)
        return {"type": "image"}

    moved = [
        {**message, "content": [without(part) for part in message["content"]]}
        if isinstance(message, Mapping) and isinstance(message.get("content"), list)
        else message
        for message in messages
    ]
    return Record(record.id, {**record.fields, field: moved, pictures_field(field): found}, record.left_out)


def history_of(record: Record) -> list[tuple[str, str]]:
    """Earlier questions and answers in the field `history`: pairs of texts, or objects such as
    `{"human": ..., "assistant": ...}`, also as JSON text. Any other text is none; DataError for any other list."""
    history = record.fields.get("history")
    if isinstance(history, str) and history.lstrip().startswith("[["):
        try:
            history = json.loads(history)
        except (ValueError, RecursionError):
            return []
    if not isinstance(history, list | Mapping):
        return []
    pairs = []
    for number, entry in enumerate(history if isinstance(history, list) else [history], 1):
        texts = entry
        if isinstance(entry, Mapping):
            texts = [message["content"] for message in _apart(entry) if "content" in message]
        if not isinstance(texts, list) or len(texts) != 2 or not all(isinstance(text, str) for text in texts):
            raise DataError(
                f"{record.id}: history: entry {number} is not a pair [instruction, output] of texts. Correct it, or "
                "add 'history' to data.ignore"
            )
        pairs.append((texts[0], texts[1]))
    return pairs


def _history(record: Record) -> list[dict[str, Any]]:
    return [
        message
        for asked, answered in history_of(record)
        for message in (_message("user", asked), _message("assistant", answered))
    ]


def _alpaca(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    more = fields.get("input")
    asked = (
        f"{fields['instruction']}\n\n{more}"
        if isinstance(more, str) and more.strip()
        else fields["instruction"]
    )
    answered = [_message("assistant", fields["output"])] if "output" in fields else []
    return [_message("user", asked), *answered]
