"""Rows out of Arrow tables, as JSON-like values. Columns of bytes (pictures, sound) are read only if asked for."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow
from tunesmith.records.sources._parquet_process import holds_bytes
from tunesmith.records.sources._rows import row

if TYPE_CHECKING:
    import pyarrow as pa


ROWS_AT_ONCE = 1024
"""Most rows that are read at once."""
BYTES_AT_ONCE = 16 * 2**20
"""Most bytes, so that memory stays flat however large a row is."""


def readable(schema: pa.Schema, with_bytes: Collection[str] = ()) -> list[str]:
    """Names of the columns that hold no bytes, and of those in `with_bytes`."""
    return [field.name for field in schema if field.name in with_bytes or not holds_bytes(field.type)]


def rows_at_once(num_bytes: int, num_rows: int) -> int:
    """How many rows of a table of that size to read at once: memory stays flat, however large a row is."""
    return max(1, min(ROWS_AT_ONCE, BYTES_AT_ONCE * num_rows // max(1, num_bytes)))


def columns_of(fields: Collection[str], columns: Mapping[str, str]) -> set[str]:
    """Names of the columns of these fields, and of those that dotted names begin with."""
    named = [columns.get(name, name) for name in fields]
    return {part for name in named for part in (name, name.split(".")[0])}


def rows_of_batch(
    source: str, first: int, batch: pa.RecordBatch, columns: Mapping[str, str], left_out: tuple[str, ...] = ()
) -> Iterator[Record | BadRow]:
    """Rows of one batch, named `source:number`, the first of them `first`; `left_out` are columns of bytes that are
    not in it."""
    for number, fields in enumerate(_values(batch), first):
        where = f"{source}:{number}"
        made = BadRow(where, fields) if isinstance(fields, str) else row(where, fields, columns)
        yield replace(made, left_out=left_out) if left_out and isinstance(made, Record) else made


def _values(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | str]:
    """The values of each row by column, or what is wrong with it."""
    import pyarrow.types as types

    plain_types = (types.is_string, types.is_large_string, types.is_integer, types.is_boolean)
    maps = [field.name for field in batch.schema if types.is_map(field.type)]
    odd = [field.name for field in batch.schema if not any(is_type(field.type) for is_type in plain_types)]
    try:
        rows: list[dict[str, Any] | str] = list(batch.to_pylist())
    except (ValueError, OverflowError):
        rows = [_only_row(batch.slice(index, 1)) for index in range(batch.num_rows)]
    for fields in rows:
        if isinstance(fields, dict):
            fields.update({name: dict(fields[name]) for name in maps if fields[name] is not None})
            fields.update({name: plain(fields[name]) for name in odd})
        yield fields


def _only_row(batch: pa.RecordBatch) -> dict[str, Any] | str:
    """The values of the only row, or what is wrong with it."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            column.to_pylist()
        except UnicodeDecodeError:
            return "holds text that is not UTF-8."
        except (ValueError, OverflowError):
            return (
                f"column {name!r} holds a {column.type} that is no date or time between the years 1 and 9999."
            )
    return dict(batch.to_pylist()[0])


def plain(value: Any) -> Any:
    """The value as JSON has it: dates and decimals as text, NaN as None.

    >>> plain({"day": date(2026, 1, 31), "score": float("nan")})
    {'day': '2026-01-31', 'score': None}
    """
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal | timedelta):
        return str(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
