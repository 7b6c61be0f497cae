"""Messages of a chat, read one by one: role and content, pictures, reasoning, tool calls, and marks of what is not to
be trained."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import did_you_mean
from tunesmith.records.chat_formats import PICTURE_PARTS, own_picture, text_of_part
from tunesmith.records.conversation import Role
from tunesmith.tasks._places import PLACE, between_places

ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")
REASONING = ("reasoning_content", "thinking", "reasoning")
"""Keys with what the assistant thinks, in the formats of DeepSeek and Qwen, of Ollama and TRL, and of others."""
_TRAINED = ("weight", "loss", "train", "training", "trainable", "loss_weight", "loss_scale")
"""Keys that say whether a message is trained: of OpenAI, ms-swift, axolotl and LLaMA-Factory."""
_UNTRAINED = ("masked",)
"""Keys that say the opposite, of torchtune."""
_LOST = (
    "rejected", "rejected_response", "refusal", "audio", "audios", "video", "videos", "image", "images",
    "train_detail", "training_detail", "objects",
)  # fmt: skip
"""Keys that carry meaning and cannot be used."""


@dataclass(frozen=True)
class Message:
    """One message, read."""

    role: Role
    text: str
    """Its text, with a mark at the place of each picture part."""
    own_pictures: tuple[Any, ...] = ()
    """For each place of a picture in the text, the file that its part names itself, or None."""
    reasoning: str = ""
    tool_calls: tuple[str, ...] = ()
    trained: bool = True
    is_json: bool = False
    """True if the content was an object, written as JSON."""


def read_message(message: Any, shows_pictures: bool) -> Message:
    """The message; ValueError says what is wrong with it."""
    if (
        not isinstance(message, Mapping)
        or "role" not in message
        or ("content" not in message and not (message.get("tool_calls") or message.get("function_call")))
    ):
        raise ValueError(f"must have role and content, but is {str(message)[:80]}")
    role = message["role"]
    if role not in ROLES:
        raise ValueError(f"unknown role {role!r:.60} ({', '.join(ROLES)}).{did_you_mean(str(role), ROLES)}")
    content, is_json = _content(message.get("content"), role)
    calls = _calls(message, role)
    pictures = _pictures_of(content, role, shows_pictures)
    text = _text(content)
    if text is None:
        raise ValueError(f"content of the {role} {_unfit(content)}")
    if not text.strip() and not calls:
        raise ValueError(f"content of the {role} is empty")
    _refuse_lost(message)
    return Message(
        role, text, pictures, _reasoning(message, role), calls, _is_trained(message, role), is_json
    )


def _content(content: Any, role: str) -> tuple[Any, bool]:
    """Content as text or parts, and whether it was an object, which is written as JSON."""
    if content is None:
        return "", False
    if isinstance(content, Mapping):
        if "type" in content:
            return [content], False
        if role in ("assistant", "tool"):
            return json.dumps(content, ensure_ascii=False), True
    return content, False


def _pictures_of(content: Any, role: str, shows_pictures: bool) -> tuple[Any, ...]:
    """The file that each picture part names, or None; ValueError if there can be none."""
    parts = [part for part in content if _is_picture(part)] if isinstance(content, list) else []
    if parts and role != "user":
        raise ValueError(f"content of the {role} has a picture; only users' messages can")
    own = tuple(
        name
        for part in (content if parts else ())
        for name in ([own_picture(part)] if _is_picture(part) else [None] * _num_places(part))
    )
    if parts and not shows_pictures:
        if any(one is not None for one in own):
            raise ValueError(
                "content of the user has a picture, which is named inside the message. Set task.pictures to the field "
                "of the messages themselves, such as [messages]"
            )
        raise ValueError("content of the user has a picture; name the fields that hold them in task.pictures")
    return own


def _num_places(part: Any) -> int:
    return len(between_places(text_of_part(part) or "")) - 1


def _is_picture(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") in PICTURE_PARTS


def _text(content: Any) -> str | None:
    """The text of a message; of a list of parts, their texts joined and a mark for each picture; None for anything
    else."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    texts = [PLACE if _is_picture(part) else text_of_part(part) for part in content]
    return None if None in texts else "".join(text for text in texts if text is not None)


def _unfit(content: Any) -> str:
    """What is wrong with a content that is neither text nor parts."""
    plain = "is neither text nor a list of text and picture parts"
    if not isinstance(content, list):
        return plain
    part = next(part for part in content if not _is_picture(part) and text_of_part(part) is None)
    if not isinstance(part, Mapping):
        return f"{plain}: it holds {part!r:.60}"
    kind = part.get("type")
    if kind in ("video", "video_url", "audio", "input_audio", "audio_url"):
        return f"{plain}: it holds a part of type {kind!r}, and videos and sounds are not read. Leave the record out"
    marks = [key for key in (*_TRAINED, *_UNTRAINED) if part.get(key) is not None]
    if marks:
        return f"has a part with {marks[0]!r}; only whole messages can be marked as trained or not"
    return f"{plain}: it holds a part of type {kind!r} with {', '.join(map(str, part))}"


def _reasoning(message: Mapping[str, Any], role: str) -> str:
    """What the assistant thinks; ValueError if it cannot be told."""
    found = {key: message[key] for key in REASONING if message.get(key) not in (None, "")}
    if not found:
        return ""
    key, text = next(iter(found.items()))
    if role != "assistant":
        raise ValueError(f"has {key!r}, but is the {role}'s; only the assistant's messages have reasoning")
    if not isinstance(text, str) or any(other != text for other in found.values()):
        raise ValueError(f"{' and '.join(map(repr, found))} must be one text")
    return text


def _calls(message: Mapping[str, Any], role: str) -> tuple[str, ...]:
    """The functions that are called, each as JSON; ValueError if one cannot be read."""
    found = message.get("tool_calls") or ([message["function_call"]] if message.get("function_call") else [])
    if not found:
        return ()
    if role != "assistant":
        raise ValueError(f"has tool calls, but is the {role}'s; only the assistant calls tools")
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except (ValueError, RecursionError):
            found = [found]
    return tuple(map(_call, found if isinstance(found, list) else [found]))


def _call(call: Any) -> str:
    inner = call.get("function", call) if isinstance(call, Mapping) else None
    arguments = inner.get("arguments", inner.get("parameters")) if isinstance(inner, Mapping) else None
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments) if arguments.strip() else {}
        except (ValueError, RecursionError):
            arguments = None
    if (
        not isinstance(inner, Mapping)
        or not isinstance(inner.get("name"), str)
        or not isinstance(arguments, Mapping)
    ):
        raise ValueError(
            f'tool call {str(call)[:60]!r} is not of the form {{"name": ..., "arguments": {{...}}}}'
        )
    return json.dumps({"name": inner["name"], "arguments": arguments}, ensure_ascii=False)


def _is_trained(message: Mapping[str, Any], role: str) -> bool:
    """False if the message is marked as not to be trained; ValueError for a mark that cannot be kept."""
    marks = {key: message[key] for key in (*_TRAINED, *_UNTRAINED) if message.get(key) is not None}
    words = {"true": True, "false": False, "0": False, "1": True}
    marks = {
        key: words.get(value.strip().lower(), value) if isinstance(value, str) else value
        for key, value in marks.items()
    }
    for key, value in marks.items():
        if value not in (0, 1):
            raise ValueError(
                f"{key!r} is {value!r:.60}; possible are 0 and 1, or false and true. To train the message like all "
                f"others, add {key!r} to data.ignore"
            )
    told = {bool(value) is (key in _TRAINED): key for key, value in marks.items()}
    if len(told) == 2:
        raise ValueError(f"{told[True]!r} says that it is trained, and {told[False]!r} that it is not")
    if role != "assistant" and told.get(True) and role != "tool":
        raise ValueError(
            f"{told[True]!r} says that the {role}'s message is trained; only the assistant's are. Remove the mark, or "
            f"add {told[True]!r} to data.ignore"
        )
    return False not in told


def _refuse_lost(message: Mapping[str, Any]) -> None:
    lost = [key for key in _LOST if message.get(key) not in (None, "", [], {})]
    if lost:
        raise ValueError(
            f"has {', '.join(map(repr, lost))}, which cannot be used here. Remove the record, or add it to data.ignore"
        )


def faults_of_order(messages: Sequence[Message]) -> Iterator[str]:
    """What is wrong with whose turn it is, as `[index]: what`; the first fault only."""
    start = 1 if messages[0].role == "system" else 0
    possible: tuple[str, ...] = ("user",)
    for index, message in enumerate(messages[start:], start):
        if message.role not in possible:
            wanted = " or the ".join(f"{role}'s" for role in possible)
            yield (
                f"[{index}]: is the {message.role}'s, but must be the {wanted}: user and assistant take turns"
                + (", and a tool answers the assistant's call" if "tool" in (message.role, *possible) else "")
            )
            return
        possible = {
            "user": ("assistant",),
            "assistant": ("tool",) if message.tool_calls else ("user",),
            "tool": ("tool", "assistant"),
        }[message.role]
    if start == len(messages):
        yield ": has no message but the system's; the user must ask something"


def tools_of(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """The functions that a record's `tools` (or `functions`) describe, each as JSON in OpenAI's form; ValueError says
    what is wrong with them."""
    found: list[Any] = []
    for name in ("tools", "functions"):
        value = fields.get(name)
        if isinstance(value, str) and value.strip():
            try:
                value = json.loads(value)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{name}: is {value[:60]!r}, which is no JSON") from error
        found += value if isinstance(value, list) else [value] if value else []
    tools = []
    for tool in found:
        inner = tool.get("function", tool) if isinstance(tool, Mapping) else None
        if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
            raise ValueError(
                f'tools: {str(tool)[:60]!r} is not of the form {{"type": "function", "function": {{"name": ...}}}}'
            )
        tools.append(
            json.dumps(
                tool if "function" in tool else {"type": "function", "function": tool}, ensure_ascii=False
            )
        )
    return tuple(tools)
