"""Values of picture fields in the forms of other tools, converted to what `ImageIngestor` reads: paths and bytes."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from tunesmith.errors import DataError
from tunesmith.records.fields import value_at
from tunesmith.records.record import Record

_NO_PICTURE = ("none", "null", "nan")
"""How programs write a missing value into a table."""
_SHORTEST_BASE64 = 64
_BASE64_STARTS = ("iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR", "SUkqA", "TU0AK", "Qk0", "AAAA")
"""How base64 of PNG, JPEG, GIF, WebP, TIFF, BMP, and of AVIF and JPEG 2000 begins."""


def with_picture_values(record: Record, fields: Sequence[str]) -> Record:
    """The record with these fields as paths, bytes or None, or as lists of paths and bytes.

    Read are `data:` and `file:` addresses, base64, objects with `url` or `src`, lists as JSON text, and dotted names,
    whose pictures get a field of that name. Null, a missing field, empty texts, objects and lists, and the texts none,
    null and nan mean that there is no picture. DataError for base64 that is none.
    """
    converted = dict(record.fields)
    try:
        for name in fields:
            try:
                value = value_at(record.fields, name)
            except ValueError:
                continue
            converted[name] = _list(value) if isinstance(value, list | tuple) else _single(value)
            if "." in name and name not in record.fields:
                head = name.split(".")[0]
                converted[head] = _without_bytes(converted[head])
    except ValueError as fault:
        raise DataError(f"{record.id}: field {name!r}: {fault}") from fault
    return Record(record.id, converted, record.left_out) if converted != record.fields else record


def _list(values: Sequence[Any]) -> list[Any]:
    return [value for value in map(_single, values) if value is not None]


def _single(value: Any) -> Any:
    """A path, bytes, or None for no picture; a list of these for a list as JSON text; any other value as it is."""
    if isinstance(value, Mapping):
        held = {key: inner for key, inner in value.items() if inner not in (None, "")}
        if not held:
            return None
        if isinstance(held.get("bytes"), str):
            return _decoded(held["bytes"])
        named = [key for key in ("url", "src", "image_url", "file_name") if key in held]
        return _single(held[named[0]]) if len(named) == len(held) == 1 else value
    if isinstance(value, str):
        return _from_text(value)
    return value


def _from_text(text: str) -> Any:
    """What a text names or holds."""
    if not text.strip() or text.strip().casefold() in _NO_PICTURE:
        return None
    if text.startswith("data:"):
        return _from_data_url(text)
    if text.startswith("file://"):
        return unquote(urlsplit(text).path)
    if text.startswith("[") and text.rstrip().endswith("]"):
        try:
            return _list(json.loads(text))
        except (ValueError, RecursionError):
            return text
    if len(text) >= _SHORTEST_BASE64 and text.startswith(_BASE64_STARTS):
        try:
            return b64decode("".join(text.split()), validate=True)
        except ValueError:
            return text
    return text


def _from_data_url(text: str) -> bytes:
    head, _, content = text.partition(",")
    return _decoded(content) if head.lower().endswith(";base64") else unquote_to_bytes(content)


def _decoded(text: str) -> bytes:
    """The bytes of a base64 text; ValueError if it is none."""
    try:
        return b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise ValueError(f"{text[:30]!r}... is no base64 of a picture ({error}).") from error


def _without_bytes(value: Any) -> Any:
    """The value without bytes inside, which a stored record cannot hold."""
    if isinstance(value, Mapping):
        return {key: _without_bytes(inner) for key, inner in value.items() if not isinstance(inner, bytes)}
    if isinstance(value, list):
        return [_without_bytes(inner) for inner in value if not isinstance(inner, bytes)]
    return value
