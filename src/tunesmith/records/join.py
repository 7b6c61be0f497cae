"""Rows of one picture, or of any other thing, made into one record: tables with a row for each box."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tunesmith.config.experiment import Join
from tunesmith.records.fields import value_at
from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow


def joined(rows: Iterator[Record | BadRow], join: Join) -> Iterator[Record | BadRow]:
    """The records of all rows, one for each value of the fields `join.by`, where the first of its rows stood.

    Values of the fields `join.lists` are gathered in the order of the rows; a row without one adds none. Another field
    keeps its value if all rows have the same, and is the list of its values if not. All rows are held in memory.
    """
    found: list[BadRow | list[Record]] = []
    by_value: dict[str, list[Record]] = {}
    for row in rows:
        if isinstance(row, BadRow):
            found.append(row)
            continue
        try:
            key = json.dumps([value_at(row.fields, name) for name in join.by], sort_keys=True, default=repr)
            for name in join.lists:
                value_at(row.fields, name)
        except ValueError as fault:
            found.append(BadRow(row.id, f"data.join: {fault}"))
            continue
        if key not in by_value:
            by_value[key] = []
            found.append(by_value[key])
        by_value[key].append(row)
    for one in found:
        yield one if isinstance(one, BadRow) else Record(one[0].id, _fields(one, join))


def _fields(rows: list[Record], join: Join) -> dict[str, Any]:
    names = dict.fromkeys(name for row in rows for name in row.fields)
    fields: dict[str, Any] = {}
    for name in names:
        values = [row.fields.get(name) for row in rows]
        if name in join.lists:
            fields[name] = [one for value in values for one in _listed(value)]
        else:
            fields[name] = values[0] if all(value == values[0] for value in values) else values
    return fields


def _listed(value: Any) -> list[Any]:
    """The value as a list of what belongs into one; a list of numbers is a box."""
    if value is None:
        return []
    is_box = isinstance(value, list) and any(isinstance(one, int | float) for one in value)
    return value if isinstance(value, list) and not is_box else [value]
