"""What a record is told by, as 64-bit hashes: its id, its content, its normalised text, its group."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Int, UInt64

from tunesmith.data.fields import value_at
from tunesmith.data.normalise import normalise, text_of
from tunesmith.data.picture import Picture, pictures_in


@dataclass(frozen=True)
class Told:
    """The fields that records are told by."""

    by: tuple[str, ...]
    """Fields whose text tells duplicates; none stands for all fields."""
    required: bool
    """True if a record without one of `by` is a bad row; else it counts as empty there."""
    group: str | None = None
    stratify: str | None = None

    def texts(self, fields: Mapping[str, Any]) -> list[str]:
        """The normalised text of each field of `by`; ValueError names a field that is required and
        missing."""
        return [normalise(text_of(self._of(fields, name))) for name in self.by or sorted(fields)]

    def _of(self, fields: Mapping[str, Any], name: str) -> Any:
        if self.required:
            return _value_at(fields, name, "data.split.by")
        try:
            return value_at(fields, name)
        except ValueError:
            return None

    def group_of(self, fields: Mapping[str, Any]) -> str:
        """The value that is the same for a whole group; ValueError if it is missing."""
        return _value(fields, self.group, "data.split.group")

    def stratum_of(self, fields: Mapping[str, Any]) -> str:
        """The value whose shares are kept; ValueError if it is missing."""
        return _value(fields, self.stratify, "data.split.stratify")


@dataclass(frozen=True, eq=False)
class Seen:
    """One row for every picture of every record."""

    record: Int[np.ndarray, "picture"]
    """Index of the record that it is in."""
    content: UInt64[np.ndarray, "picture"]
    """Hash of its file."""
    look: UInt64[np.ndarray, "picture"]
    """Perceptual hash."""


@dataclass(frozen=True, eq=False)
class Keys:
    """One row a record, in the order of the store."""

    origin: Int[np.ndarray, "record"]
    """The side that the record's source stands for; TRAIN where it is ours to choose."""
    id: UInt64[np.ndarray, "record"]
    content: UInt64[np.ndarray, "record"]
    text: UInt64[np.ndarray, "record"]
    group: UInt64[np.ndarray, "record"] | None
    """None if records are not grouped."""
    stratum: Int[np.ndarray, "record"]
    """Index into `strata`; all 0 if records are not stratified."""
    strata: tuple[str, ...] = ()
    seen: Seen | None = None
    """None if no record has a picture."""


@dataclass
class KeyBuilder:
    """Gathers keys, a record at a time, in a few bytes each."""

    told: Told
    _origin: array[int] = field(default_factory=lambda: array("b"))
    _id: array[int] = field(default_factory=lambda: array("Q"))
    _content: array[int] = field(default_factory=lambda: array("Q"))
    _text: array[int] = field(default_factory=lambda: array("Q"))
    _group: array[int] = field(default_factory=lambda: array("Q"))
    _stratum: array[int] = field(default_factory=lambda: array("q"))
    _strata: dict[str, int] = field(default_factory=dict)
    _pictured: array[int] = field(default_factory=lambda: array("q"))
    _picture: array[int] = field(default_factory=lambda: array("Q"))
    _look: array[int] = field(default_factory=lambda: array("Q"))

    def __len__(self) -> int:
        return len(self._origin)

    def add(self, id: str, sha256: str, fields: Mapping[str, Any], origin: int = 1) -> str:
        """Take in one record and return its normalised text; ValueError, with nothing taken in, if it lacks a
        field."""
        texts = self.told.texts(fields)
        group = self.told.group_of(fields) if self.told.group else None
        stratum = self.told.stratum_of(fields) if self.told.stratify else ""
        for picture in pictures_in(fields):
            self._pictured.append(len(self))
            self._picture.append(int(picture.sha256[:16], 16))
            self._look.append(int(picture.look, 16))
        self._origin.append(origin)
        self._id.append(hash64(id))
        self._content.append(int(sha256[:16], 16))
        self._text.append(hash64("\x1f".join(texts)))
        if group is not None:
            self._group.append(hash64(group))
        self._stratum.append(self._strata.setdefault(stratum, len(self._strata)))
        return " ".join(texts)

    def keys(self) -> Keys:
        """All that was taken in."""
        names = np.array(list(self._strata), dtype=object)
        by_name = np.argsort(names)
        rank = np.argsort(by_name)
        return Keys(
            origin=np.array(self._origin, dtype=np.int64),
            id=np.array(self._id, dtype=np.uint64),
            content=np.array(self._content, dtype=np.uint64),
            text=np.array(self._text, dtype=np.uint64),
            group=np.array(self._group, dtype=np.uint64) if self.told.group else None,
            stratum=rank[np.array(self._stratum, dtype=np.int64)],
            strata=tuple(names[by_name]) if self.told.stratify else (),
            seen=self._seen() if self._pictured else None,
        )

    def _seen(self) -> Seen:
        return Seen(
            record=np.array(self._pictured, dtype=np.int64),
            content=np.array(self._picture, dtype=np.uint64),
            look=np.array(self._look, dtype=np.uint64),
        )


def hash64(text: str) -> int:
    """First 64 bits of a text's BLAKE2b hash."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _value(fields: Mapping[str, Any], name: str | None, setting: str) -> str:
    assert name is not None
    value = _value_at(fields, name, setting)
    if value is None:
        raise ValueError(f"{setting}: field {name!r} is null; it must have a value.")
    if isinstance(value, str | Picture):
        return text_of(value)
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=text_of)


def _value_at(fields: Mapping[str, Any], name: str, setting: str) -> Any:
    try:
        return value_at(fields, name)
    except ValueError as fault:
        raise ValueError(f"{setting}: {fault}") from fault
