"""What a record is compared by, as 64-bit hashes: its id, its content, what it asks, its answer, its group."""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Int, UInt64

from tunesmith.images.picture import Picture, pictures_in
from tunesmith.records.fields import value_at
from tunesmith.runs.manifest import DedupFields
from tunesmith.split.hashing import hash64
from tunesmith.split.normalize import exact, fold, loose, marks, question_of, text_of, words

_ANSWERS_KEPT = 1000
_MOST_WORDS = 2**16 - 1
_COLUMNS = (
    *(
        (name, "Q")
        for name in ("id", "content", "text", "loose", "marks", "question", "answer", "side", "group")
    ),
    ("origin", "b"),
    ("stratum", "q"),
)


@dataclass(frozen=True, eq=False)
class ImageHashes:
    """One row for every image of every record."""

    record: Int[np.ndarray, " picture"]
    """Index of the record that it is in."""
    content: UInt64[np.ndarray, " picture"]
    """Hash of its file."""
    look: UInt64[np.ndarray, " picture"]
    """Perceptual hash."""


@dataclass(frozen=True, eq=False)
class DedupKeys:
    """One row a record, in the order of the store."""

    origin: Int[np.ndarray, " record"]
    """The side that the record's source stands for; TRAIN where it is ours to choose."""
    id: UInt64[np.ndarray, " record"]
    content: UInt64[np.ndarray, " record"]
    text: UInt64[np.ndarray, " record"]
    """Exact form of the compared text; equal ones are the same text."""
    loose: UInt64[np.ndarray, " record"]
    """Loose form of the compared text; equal ones look alike if their `marks` agree."""
    marks: UInt64[np.ndarray, " record"]
    """Counts of punctuation marks, as `normalise.marks` has them, and from bit 48 on the number of words."""
    question: UInt64[np.ndarray, " record"]
    """Exact form of what the task asks."""
    answer: UInt64[np.ndarray, " record"]
    """Loose form of the reference answer; 0 if it is not known."""
    side: UInt64[np.ndarray, " record"]
    """What decides the side of the record: its group, else its first picture, else its text."""
    group: UInt64[np.ndarray, " record"] | None
    """None if records are not grouped."""
    stratum: Int[np.ndarray, " record"]
    """Index into `strata`; all 0 if records are not stratified."""
    strata: tuple[str, ...] = ()
    images: ImageHashes | None = None
    """None if no record has an image."""
    answers: Mapping[int, str] = field(default_factory=dict)
    """The first different answers, by their number in `answer`."""


@dataclass
class KeyBuilder:
    """Gathers keys, a record at a time, in a few bytes each."""

    compared: DedupFields
    """Which fields records are compared by."""
    _columns: dict[str, array[int]] = field(
        default_factory=lambda: {name: array(kind) for name, kind in _COLUMNS}
    )
    _strata: dict[str, int] = field(default_factory=dict)
    _answers: dict[int, str] = field(default_factory=dict)
    _pictured: array[int] = field(default_factory=lambda: array("q"))
    _picture: array[int] = field(default_factory=lambda: array("Q"))
    _look: array[int] = field(default_factory=lambda: array("Q"))

    def __len__(self) -> int:
        return len(self._columns["id"])

    def add(
        self, id: str, sha256: str, fields: Mapping[str, Any], origin: int = 1, answer: str | None = None
    ) -> tuple[int, list[str], str]:
        """Take in one record; ValueError, with nothing taken in, if it lacks a field.

        Returns the hash of the loose form of its text, the words of that form, and the text.
        """
        texts = compared_texts(self.compared, fields)
        compared = self.compared
        group = _text_at(fields, compared.group, "data.split.group") if compared.group else None
        stratum = _text_at(fields, compared.stratify, "data.split.stratify") if compared.stratify else ""
        pictures = list(pictures_in(fields))
        for picture in pictures:
            self._pictured.append(len(self))
            self._picture.append(int(picture.sha256[:16], 16))
            self._look.append(int(picture.look, 16))
        folded = [fold(text) for text in texts]
        found = [words(text) for text in folded]
        text = hash64("\x1f".join(map(exact, texts)))
        row = {
            "origin": origin,
            "id": hash64(id),
            "content": int(sha256[:16], 16),
            "text": text,
            "loose": hash64("\x1f".join(map(" ".join, found))),
            "marks": marks("\x1f".join(folded)) | min(sum(map(len, found)), _MOST_WORDS) << 48,
            "question": hash64("\x1f".join(map(exact, asked_texts(compared, fields))))
            if compared.asked
            else text,
            "answer": self._answer(answer),
            "side": text,
            "group": 0 if group is None else hash64(group),
            "stratum": self._strata.setdefault(stratum, len(self._strata)),
        }
        if group is not None:
            row["side"] = row["group"]
        elif pictures:
            row["side"] = int(pictures[0].sha256[:16], 16)
        for name, value in row.items():
            self._columns[name].append(value)
        return row["loose"], [word for words in found for word in words], "\n".join(texts)

    def _answer(self, answer: str | None) -> int:
        if answer is None:
            return 0
        hashed = hash64(" ".join(loose(answer)))
        if len(self._answers) < _ANSWERS_KEPT:
            self._answers.setdefault(hashed, answer)
        return hashed

    def keys(self) -> DedupKeys:
        """The keys of all records that were added."""
        names = np.array(list(self._strata), dtype=object)
        by_name = np.argsort(names)
        rank = np.argsort(by_name)
        made = {
            name: np.array(column, dtype=np.uint64)
            for name, column in self._columns.items()
            if name not in ("origin", "group", "stratum")
        }
        return DedupKeys(
            origin=np.array(self._columns["origin"], dtype=np.int64),
            group=np.array(self._columns["group"], dtype=np.uint64) if self.compared.group else None,
            stratum=rank[np.array(self._columns["stratum"], dtype=np.int64)],
            strata=tuple(names[by_name]) if self.compared.stratify else (),
            images=self._images() if self._pictured else None,
            answers=self._answers,
            **made,
        )

    def _images(self) -> ImageHashes:
        return ImageHashes(
            record=np.array(self._pictured, dtype=np.int64),
            content=np.array(self._picture, dtype=np.uint64),
            look=np.array(self._look, dtype=np.uint64),
        )


def compared_texts(compared: DedupFields, fields: Mapping[str, Any]) -> list[str]:
    """The text of each field of `by`; of a chat, without its last answer.

    ValueError names a required field that is missing.
    """
    names = compared.by or sorted(fields)
    if compared.required:
        values = [_value_at(fields, name, "data.split.by") for name in names]
    else:
        values = [_value_or_none(fields, name) for name in names]
    return [text_of(question_of(value)) for value in values]


def asked_texts(compared: DedupFields, fields: Mapping[str, Any]) -> list[str]:
    """The text of each field that the task asks about."""
    values = (
        question_of(fields.get(name)) if name in fields else _value_or_none(fields, name)
        for name in compared.asked
    )
    return [text_of(value) for value in values]


def _value_or_none(fields: Mapping[str, Any], name: str) -> Any:
    try:
        return value_at(fields, name)
    except ValueError:
        return None


def _text_at(fields: Mapping[str, Any], name: str, setting: str) -> str:
    """The text of a field's value. ValueError if it is missing or null."""
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
