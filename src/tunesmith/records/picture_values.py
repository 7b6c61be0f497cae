"""What a field says of a picture, in the forms of other tools, made into what `Taking` reads: a path or bytes."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from tunesmith.errors import DataError
from tunesmith.records.fields import value_at
from tunesmith.records.record import Record

_DATA_URL = re.compile(r"data:[\w/+.;=-]*;base64,", re.IGNORECASE)
_BASE64 = re.compile(r"(?:/9j/|iVBOR|R0lGOD|UklGR|Qk0)[A-Za-z0-9+/\s]{100,}={0,2}\s*")
"""Base64 of JPEG, PNG, GIF, WebP and BMP, by how such files begin."""


def with_picture_values(record: Record, fields: Sequence[str]) -> Record:
    """The record with these fields as paths, bytes or None, or lists of paths and bytes. Read are `data:` and `file:`
    addresses, base64, objects with `url` or `src`, and dotted names of fields, whose pictures get a field of that name.
    Empty texts, objects and lists, and null, mean that there is no picture. DataError for base64 that is none."""
    found = dict(record.fields)
    try:
        for name in fields:
            try:
                value = value_at(record.fields, name)
            except ValueError:
                continue
            found[name] = _several(value) if isinstance(value, list | tuple) else _one(value)
            if "." in name and name not in record.fields:
                head = name.split(".")[0]
                found[head] = _without_bytes(found[head])
    except ValueError as fault:
        raise DataError(f"{record.id}: field {name!r}: {fault}") from fault
    return Record(record.id, found, record.left_out) if found != record.fields else record


def _several(values: Sequence[Any]) -> list[Any]:
    return [made for made in map(_one, values) if made is not None]


def _one(value: Any) -> Any:
    """A path, bytes, or None for no picture; anything else as it is."""
    if isinstance(value, Mapping):
        held = {key: inner for key, inner in value.items() if inner not in (None, "")}
        if not held:
            return None
        if isinstance(held.get("bytes"), str):
            return _decoded(held["bytes"])
        named = [key for key in ("url", "src", "image_url", "file_name") if isinstance(held.get(key), str)]
        return _one(held[named[0]]) if len(named) == len(held) == 1 else value
    if not isinstance(value, str):
        return value
    start = _DATA_URL.match(value)
    if start:
        return _decoded(value[start.end() :])
    if value.startswith("file://"):
        return unquote(value.removeprefix("file://"))
    if _BASE64.fullmatch(value):
        return _decoded(value)
    return value if value.strip() else None


def _decoded(text: str) -> bytes:
    """The bytes of a base64 text; ValueError if it is none."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"{text[:30]!r}... is no base64 of a picture ({error}).") from error


def _without_bytes(value: Any) -> Any:
    """The value without bytes inside, which a stored record cannot hold."""
    if isinstance(value, Mapping):
        return {key: _without_bytes(inner) for key, inner in value.items() if not isinstance(inner, bytes)}
    if isinstance(value, list):
        return [_without_bytes(inner) for inner in value if not isinstance(inner, bytes)]
    return value
