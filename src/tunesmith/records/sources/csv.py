"""Source `csv`: a table as text, with a header line."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from tunesmith.errors import DataError
from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow
from tunesmith.records.sources._rows import LONGEST_ROW, File, FileSource, require_columns, row

_NUM_FIRST = 500
_SEPARATOR = re.compile(r"sep=(.)", re.IGNORECASE)
"""The line before the header in which Excel states the delimiter."""
_QUOTES = (
    'Double a quote inside a cell (""), or, if quotes are plain characters in this file, set data.source.quoting to '
    "none."
)


@dataclass(frozen=True)
class _Row:
    """The cells of a row, and the lines that they were read from."""

    where: str
    cells: list[str]
    lines: list[str]


def _rows(name: str, reader: Any, lines: _Lines) -> Iterator[_Row | BadRow]:
    """All rows but blank ones."""
    while True:
        where = f"{name}:{reader.line_num + 1}"
        lines.last = []
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield BadRow(where, f"bad quoting: {error}. {_QUOTES}")
            continue
        if cells is None:
            return
        if cells:
            yield _Row(where, cells, lines.last)


class _Lines:
    """The lines of a text, those of the last row kept."""

    def __init__(self, text: io.TextIOBase) -> None:
        self._text = text
        self.last: list[str] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = next(self._text)
        self.last.append(line)
        return line


def _known_encoding(name: str) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError as error:
        raise ValueError(f"{name!r} is no encoding that Python knows, such as utf-8 or cp1252") from error


class Csv(FileSource):
    """A CSV or TSV file. Every value is text; an empty cell is an empty text."""

    kind: Literal["csv"] = "csv"
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    r"""Between two cells; `"\t"` for tabs."""
    encoding: Annotated[str, AfterValidator(_known_encoding)] = "utf-8"
    """Of the text, such as utf-8 or cp1252."""
    quoting: Literal["quotes", "none"] = "quotes"
    """Whether a cell may stand in double quotes; `none` takes a quote for a character like any other."""
    header: list[str] | None = None
    """Names of the columns of a file without a header line; none reads them from the first line."""

    def rows_of(self, file: File) -> Iterator[Record | BadRow]:
        """One row a record, named `file:line` by its first line; DataError if the header is not usable."""
        csv.field_size_limit(LONGEST_ROW)
        with file.open(is_utf16=self.encoding.startswith("utf-16")) as stream:
            # Bytes that do not decode are let through as lone surrogates, so that only their row is bad.
            lines = _Lines(
                io.TextIOWrapper(stream, encoding=self._codec, errors="surrogateescape", newline="")
            )
            if self.quoting == "none":
                reader = csv.reader(lines, delimiter=self.delimiter, strict=True, quoting=csv.QUOTE_NONE)
            else:
                reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
            names = self.header or _header(file.name, reader)
            require_columns(file.name, self.columns, names)
            try:
                yield from self._body(file.name, reader, lines, names)
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{file.name}: is not {self.encoding} ({error.reason}). Set `encoding`."
                ) from error

    @property
    def _codec(self) -> str:
        return "utf-8-sig" if self.encoding == "utf-8" else self.encoding

    def _body(self, name: str, reader: Any, lines: _Lines, names: list[str]) -> Iterator[Record | BadRow]:
        rows = _rows(name, reader, lines)
        # Values that columns are known to have tell rows that a lone quote swallowed from text with line breaks.
        first = list(islice(rows, _NUM_FIRST))
        plain = [one.cells for one in first if isinstance(one, _Row) and len(one.lines) == 1]
        seen = [{cells[index] for cells in plain if index < len(cells)} - {""} for index in range(len(names))]
        for one in chain(first, rows):
            if isinstance(one, BadRow):
                yield one
            elif self._swallowed(one.lines, names, seen):
                yield BadRow(
                    one.where,
                    f"a quote opens a cell that spans {len(one.lines)} lines, and each looks like a row by "
                    f"itself ({one.lines[-1].strip()[:40]!r}). {_QUOTES}",
                )
            else:
                yield self._row(one.where, one.cells, names)

    def _swallowed(self, lines: list[str], names: list[str], seen: list[set[str]]) -> bool:
        """True if the lines that were read as one row are rows themselves, one of which holds a lone quote."""
        if len(lines) < 2 or len(names) < 2:
            return False
        apart = list(csv.reader(lines, delimiter=self.delimiter, quoting=csv.QUOTE_NONE))
        if any(len(cells) != len(names) for cells in apart):
            return False
        known = any(
            all(cells[index].strip('"') in values for cells in apart) for index, values in enumerate(seen)
        )
        return known or (len(names) > 2 and len(lines) > 2)

    def _row(self, where: str, cells: list[str], names: list[str]) -> Record | BadRow:
        if len(cells) != len(names):
            return BadRow(
                where, f"has {len(cells)} cells, but there are {len(names)} columns ({', '.join(names)})."
            )
        try:
            "".join(cells).encode()
        except UnicodeEncodeError as error:
            byte = ord(error.object[error.start]) & 0xFF
            return BadRow(where, f"byte 0x{byte:02x} is not {self.encoding}. Set `encoding`, such as cp1252.")
        return row(where, dict(zip(names, cells, strict=True)), self.columns)


def _header(name: str, reader: Any) -> list[str]:
    try:
        names: list[str] = next(reader, [])
        stated = _SEPARATOR.fullmatch(reader.dialect.delimiter.join(names))
        if stated is not None:
            if stated[1] != reader.dialect.delimiter:
                raise DataError(
                    f"{name}:1: states the delimiter {stated[1]!r}. Set data.source.delimiter to it."
                )
            names = next(reader, [])
    except csv.Error as error:
        raise DataError(f"{name}:1: the header has bad quoting: {error}.") from error
    other = [mark for mark in "\t;|" if len(names) == 1 and mark in names[0]]
    if other:
        raise DataError(
            f"{name}:1: the header is one column ({names[0]!r:.60}). Set data.source.delimiter to {other[0]!r}, or "
            "name the column by data.source.header."
        )
    twice = [column for column, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{name}:1: the header names {twice[0]!r} twice. Rename one of them.")
    return names
