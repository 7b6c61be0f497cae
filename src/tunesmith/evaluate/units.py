"""Which held-out records are independent of each other: intervals and tests count units, not records."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tunesmith.errors import DataError, counted
from tunesmith.evaluate.groups import check_fields
from tunesmith.images.picture import Picture, pictures_in
from tunesmith.records.conversation import Conversation
from tunesmith.records.fields import value_at
from tunesmith.records.record import Record
from tunesmith.split.union_find import Clusters

_SHORTEST_CONTEXT = 100
"""Characters. Shorter texts that several records share (a category, a place) do not make them one unit."""
_FEWEST_CONTEXTS = 6
_LARGEST_MEAN_SIZE = 50
"""A text that more records share on average is an instruction, not a context."""


@dataclass(frozen=True)
class Units:
    """The unit of each record. Records of one unit may depend on each other; those of different units do not."""

    kind: str
    """What records of one unit have in common: the name of a field, `picture`, `question` or `first turn`; `record`
    where every record is a unit of its own."""
    names: tuple[str, ...]
    """Name of each record's unit."""


def units_of(
    records: Sequence[Record],
    conversations: Sequence[Conversation],
    asked: Sequence[str],
    field: str | None = None,
) -> Units:
    """The units of the records: by the value of a field (or dotted path) if one is named, else by the pictures that
    records share, else by the context or the question that they share, else every record.

    `asked` names the fields that questions are made of; a context is a text of at least 100 characters in one of
    them, or in the first turn of a chat. Raises DataError if a record lacks the field or has null there.
    """
    if field is not None:
        return Units(field, _values(records, field))
    found = _by_picture(records) or _by_context(records, conversations, asked)
    return found or Units("record", tuple(record.id for record in records))


def check_unit(records: Sequence[Record], field: str) -> None:
    """DataError if a record lacks the field that tells units, or has null there."""
    _values(records, field)


def _values(records: Sequence[Record], field: str) -> tuple[str, ...]:
    check_fields(records, [field], "evaluate.unit")
    values = [value_at(record.fields, field) for record in records]
    nulls = [record.id for record, value in zip(records, values, strict=True) if value is None]
    if nulls:
        raise DataError(
            f"{nulls[0]}: evaluate.unit: field {field!r} is null, as in {counted(len(nulls), 'record')} of "
            f"{len(records):,}; every record needs a value, also one that is a unit of its own"
        )
    return tuple(map(_name_of, values))


def _name_of(value: Any) -> str:
    """The value as text; pictures are the same if their files are."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_sha256_of)


def _sha256_of(picture: Picture) -> str:
    return picture.sha256


def _by_picture(records: Sequence[Record]) -> Units | None:
    """Records that share a picture file (equal bytes), directly or through other records; None if none do."""
    first: dict[str, int] = {}
    pairs = [
        (index, first.setdefault(picture.sha256, index))
        for index, record in enumerate(records)
        for picture in pictures_in(record.fields)
    ]
    if len(first) == len(pairs):
        return None
    clusters = Clusters(len(records))
    clusters.link(*np.array(pairs).T)
    names = tuple(records[root].id for root in clusters.roots().tolist())
    return Units("picture", names) if len(set(names)) < len(names) else None


def _by_context(
    records: Sequence[Record], conversations: Sequence[Conversation], asked: Sequence[str]
) -> Units | None:
    """Records that share a long text in a field or in the first turn, by whichever makes the fewest units; else
    records with the same question; None if there are none."""
    columns: dict[str, list[str]] = {
        name: [_long_text(record, name) or record.id for record in records] for name in asked
    }
    opening = [one.turns[0].text if len(one.turns) > 1 else "" for one in conversations]
    columns["first turn"] = [
        text if len(text) >= _SHORTEST_CONTEXT else record.id
        for text, record in zip(opening, records, strict=True)
    ]
    shared = {name: column for name, column in columns.items() if _is_shared(column)}
    if not shared:
        question = ["\n".join(turn.text for turn in one.turns) for one in conversations]
        shared = {"question": question} if _is_shared(question) else {}
    if not shared:
        return None
    name = min(shared, key=lambda name: len(set(shared[name])))
    return Units(
        name,
        tuple(
            hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16] for text in shared[name]
        ),
    )


def _long_text(record: Record, field: str) -> str | None:
    try:
        value = value_at(record.fields, field)
    except ValueError:
        return None
    return value if isinstance(value, str) and len(value) >= _SHORTEST_CONTEXT else None


def _is_shared(column: Sequence[str]) -> bool:
    """True if some records have the same text, and too few of them for it to be an instruction."""
    different = len(set(column))
    fewest = max(_FEWEST_CONTEXTS, len(column) / _LARGEST_MEAN_SIZE)
    return fewest <= different < len(column)
