"""What a record holds besides the fields that its task reads: refused by name if it carries meaning for training,
else counted."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import DataError
from tunesmith.images.picture import Picture
from tunesmith.records.record import Record

_PICTURE_FILE = re.compile(
    r"data:image/|.*\.(?:jpe?g|jpe|jfif|png|webp|gif|tiff?|bmp|avif|jp2|heic|svg)(?:\?.*)?\s*", re.IGNORECASE
)
_MEDIA_FILE = re.compile(
    r"data:(?:video|audio)/|.*\.(?:mp4|mkv|mov|avi|webm|m4v|wav|mp3|flac|ogg|opus|m4a|aac)(?:\?.*)?\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class RowNotes:
    """What is known of a record besides its fields, to be counted over all records."""

    unread: tuple[str, ...] = ()
    """Names of fields that the task does not read, and that do no harm."""
    as_json: tuple[str, ...] = ()
    """Names of fields whose values, objects or lists, are written into the conversation as JSON text."""
    answer: str | None = None
    """The reference answer, if there is one."""


@dataclass(frozen=True)
class Meaning:
    """A kind of field that carries meaning in the data of other tools."""

    names: re.Pattern[str]
    """Names of such fields."""
    holds: Callable[[Any], bool]
    """Whether a value is of this kind, so that another field of the same name does no harm."""
    what: str
    """What is wrong, after `field 'x'`."""
    remedy: str
    """What to do; `{name}` is the field. `data.ignore` is added where it does not say so itself."""
    is_trained_if_ignored: bool = False
    """True if `data.ignore` would train what must not be trained, so that it is not offered."""


def _members(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def tells_picture(value: Any) -> bool:
    """True for a picture, its bytes or the name of its file, and for a list with one."""
    return any(
        isinstance(one, Picture | bytes)
        or (isinstance(one, str) and _PICTURE_FILE.match(one) is not None)
        or (isinstance(one, Mapping) and bool(one.get("bytes") or one.get("path") or one.get("url")))
        for one in _members(value)
    )


def _is_media(value: Any) -> bool:
    return any(
        isinstance(one, bytes)
        or (isinstance(one, str) and (_MEDIA_FILE.match(one) is not None))
        or (isinstance(one, Mapping) and bool(one.get("bytes") or one.get("path") or one.get("array")))
        or (isinstance(one, list) and tells_picture(one))
        for one in _members(value)
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_answer(value: Any) -> bool:
    return _is_text(value) or (isinstance(value, list | Mapping) and bool(value))


def _is_bad(value: Any) -> bool:
    return value is False or (isinstance(value, str) and value.strip().lower() == "false")


def _are_marks(value: Any) -> bool:
    """True for a list of true and false with a false in it."""
    return isinstance(value, list) and False in value and all(isinstance(member, bool) for member in value)


def _is_off(value: Any) -> bool:
    """True for a weight other than 1, and for false."""
    if isinstance(value, str):
        return value.strip().lower() in ("false", "0", "0.0")
    return isinstance(value, bool | int | float) and value != 1


def _is_filled(value: Any) -> bool:
    return isinstance(value, list | Mapping) and bool(value)


def _are_tools(value: Any) -> bool:
    if isinstance(value, str):
        return value.lstrip().startswith(("[{", "{"))
    return _is_filled(value)


def _are_boxes(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(bool(value.get(key)) for key in ("bbox", "bboxes", "boxes"))
    if not isinstance(value, list) or not value:
        return False
    first = value[0]
    if isinstance(first, Mapping):
        return any(key in first for key in ("bbox", "bbox_2d", "box"))
    several = first if isinstance(first, list) else value
    return len(several) == 4 and all(isinstance(one, int | float) for one in several)


def _named(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_LEAVE_OUT = "Leave such records out"
MEANINGS = (
    Meaning(
        _named(r"(?:videos?|vid)(?:_(?:paths?|urls?|files?))?|audios?(?:_(?:paths?|urls?|files?))?|speech|sound"),
        _is_media,
        "names a video or a sound, and those are not read",
        _LEAVE_OUT,
    ),
    Meaning(
        _named(r"(?:images?|imgs?|pictures?|pics?|photos?|image_bytes)(?:_?(?:paths?|files?|urls?|names?|\d+))*|file_name"),
        tells_picture,
        "names a picture that the task does not show",
        "Set task.pictures to [{name}]",
    ),
    Meaning(
        _named(r"rejected(?:_\w+)?|\w+_rejected|dispreferred\w*"),
        _is_answer,
        "holds an answer that is marked as worse, and training on preferences is not possible",
        "To train on the better answers alone, add {name!r} to data.ignore",
    ),
    Meaning(
        _named(r"labels?|kto_tag"),
        _is_bad,
        "is false, which marks the answer as bad (KTO), so it must not be trained",
        "To leave such records out on every side, set data.where to '{name} == true'",
        is_trained_if_ignored=True,
    ),
    Meaning(
        _named(r"labels|completion_labels|step_labels"),
        _are_marks,
        "marks some of several answers or steps as bad, and all of them would be trained alike",
        "Write a row for each answer, or leave such records out",
        is_trained_if_ignored=True,
    ),
    Meaning(
        _named(r"train|trained|trainable|training|loss|loss_weight|loss_scale|sample_weight"),
        _is_off,
        "marks the record as not to be trained, or to count otherwise than others",
        "To use only records that count fully, set data.where to '{name} == 1'; to train all of them alike, add "
        "{name!r} to data.ignore",
    ),
    Meaning(
        _named(r"tools|functions"),
        _are_tools,
        "describes tools, which only task kind chat shows to the model",
        "Use task kind chat",
    ),
    Meaning(
        _named(r"tool_calls|function_call|chat_template_kwargs"),
        _is_filled,
        "says what a chat template is to write, and is read in no task",
        "Write tool_calls into the assistant's message",
    ),
    Meaning(
        _named(r"system(?:_(?:prompt|message))?"),
        _is_text,
        "holds a system prompt that the task does not show",
        "Set task.system to '{{{name}}}'",
    ),
    Meaning(
        _named(r"objects|bbox(?:es)?|boxes|bbox_2d"),
        _are_boxes,
        "holds boxes that the task does not ask for",
        "Use task kind detect",
    ),
    Meaning(
        _named(r"reasoning_content|reasoning|thinking"),
        _is_text,
        "holds reasoning that the task does not train",
        "Use task kind chat with `reasoning_content` in the assistant's message",
    ),
)  # fmt: skip


def unread_fields(record: Record, used: Collection[str]) -> tuple[str, ...]:
    """Names of the record's fields that are neither used nor empty, and do no harm. DataError names all those that
    carry meaning for training, which would be lost."""
    known = {name for path in used for name in (path, path.split(".")[0])}
    faults, unread = [], []
    for name, value in (*record.fields.items(), *((name, b"") for name in record.left_out)):
        if name in known or (value in (None, "", []) and name not in record.left_out):
            continue
        meaning = _meaning(name, value)
        if meaning is None:
            unread.append(name)
        else:
            remedy = meaning.remedy.format(name=name)
            if "data.ignore" not in remedy and not meaning.is_trained_if_ignored:
                remedy += f", or, if it is not to be used, add {name!r} to data.ignore"
            faults.append(f"{record.id}: field {name!r} {meaning.what}. {remedy}")
    if faults:
        raise DataError("\n".join(faults))
    return tuple(unread)


def _meaning(name: str, value: Any) -> Meaning | None:
    return next((one for one in MEANINGS if one.names.fullmatch(name) and one.holds(value)), None)


def without_ignored(record: Record, ignored: Collection[str]) -> Record:
    """The record without the fields of these names, and without them in its messages."""
    if not ignored:
        return record
    kept = {name: _without(value, ignored) for name, value in record.fields.items() if name not in ignored}
    left_out = tuple(name for name in record.left_out if name not in ignored)
    return Record(record.id, kept, left_out)


def _without(value: Any, ignored: Collection[str]) -> Any:
    """A list of messages without keys of these names; any other value as it is."""
    if not isinstance(value, list) or not any(isinstance(one, Mapping) and _is_message(one) for one in value):
        return value
    return [
        {key: inner for key, inner in one.items() if key not in ignored} if isinstance(one, Mapping) else one
        for one in value
    ]


def _is_message(value: Mapping[str, Any]) -> bool:
    return "role" in value or "from" in value or ("human" in value and "assistant" in value)
