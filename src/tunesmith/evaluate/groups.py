"""Results broken down: which rows belong together by the value of a field, or by a distinction of the task's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import DataError, counted
from tunesmith.evaluate.rows import Row
from tunesmith.records.fields import value_at
from tunesmith.records.record import Record
from tunesmith.tasks._prompt import text_of

MOST_VALUES = 50
"""A field's results are given for its most frequent values, at most as many as this."""


@dataclass(frozen=True)
class Groups:
    """The rows of an evaluation, by field and value."""

    rows: Mapping[str, Mapping[str, tuple[int, ...]]]
    """Indices of the rows that have a value, by field."""
    left_out: Mapping[str, int]
    """How many values of a field are not among them because they are too many."""


def groups_of(rows: Sequence[Row], by: Sequence[str]) -> Groups:
    """The groups of every field in `by`, and of every distinction of the task's own by which the rows differ;
    values in their natural order."""
    named = dict.fromkeys(name for row in rows for name in row.fields)
    found, left_out = {}, {}
    for name in named:
        values = [text_of(row.fields[name]) if name in row.fields else None for row in rows]
        counts = Counter(value for value in values if value is not None)
        if name not in by and len(counts) < 2:
            continue
        kept = [value for value, _ in counts.most_common(MOST_VALUES)]
        found[name] = {
            value: tuple(index for index, one in enumerate(values) if one == value)
            for value in sorted(kept, key=_place)
        }
        if len(counts) > len(kept):
            left_out[name] = len(counts) - len(kept)
    return Groups(found, left_out)


def fields_of(record: Record, by: Sequence[str]) -> dict[str, Any]:
    """The record's values of these fields; DataError if one is missing."""
    check_fields([record], by)
    return {name: value_at(record.fields, name) for name in by}


def check_fields(records: Sequence[Record], by: Sequence[str], setting: str = "evaluate.by") -> None:
    """DataError if a record has no such field, which the setting names; it names each field once, with the first record
    and a count."""
    faults = []
    for name in by:
        lacking = []
        for record in records:
            try:
                value_at(record.fields, name)
            except ValueError as fault:
                lacking.append(f"{record.id}: {setting}: {fault}")
        if lacking:
            others = counted(len(lacking) - 1, "other lacks it", "others lack it")
            also = f" Of {len(records):,} records {others} too." if len(lacking) > 1 else ""
            faults.append(lacking[0] + also)
    if faults:
        raise DataError("\n".join(faults))


def _place(value: str) -> tuple[bool, float, str]:
    """Numbers go before words, by their size."""
    try:
        return False, float(value), ""
    except ValueError:
        return True, 0.0, value.casefold()
