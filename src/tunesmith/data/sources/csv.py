"""Source `csv`: a table as text, with a header line."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from tunesmith.data.record import Record
from tunesmith.data.sources import BadRow
from tunesmith.data.sources._rows import LONGEST_ROW, File, FileSource, require_columns, row
from tunesmith.errors import DataError


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
    header: list[str] | None = None
    """Names of the columns of a file without a header line; none reads them from the first line."""

    def rows_of(self, file: File) -> Iterator[Record | BadRow]:
        """One row a record, named `file:line` by its first line; DataError if the header is not usable."""
        csv.field_size_limit(LONGEST_ROW)
        with file.open() as stream:
            # Bytes that do not decode are let through as lone surrogates, so that only their row is bad.
            text = io.TextIOWrapper(stream, encoding=self._codec, errors="surrogateescape", newline="")
            reader = csv.reader(text, delimiter=self.delimiter, strict=True)
            names = self.header or _header(file.name, reader)
            require_columns(file.name, self.columns, names)
            yield from self._body(file.name, reader, names)

    @property
    def _codec(self) -> str:
        return "utf-8-sig" if self.encoding == "utf-8" else self.encoding

    def _body(self, name: str, reader: csv._reader, names: list[str]) -> Iterator[Record | BadRow]:
        while True:
            where = f"{name}:{reader.line_num + 1}"
            try:
                cells = next(reader, None)
            except csv.Error as error:
                yield BadRow(where, f"bad quoting: {error}.")
                continue
            if cells is None:
                return
            if not cells:
                continue
            yield self._row(where, cells, names)

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


def _header(name: str, reader: csv._reader) -> list[str]:
    try:
        names: list[str] = next(reader, [])
    except csv.Error as error:
        raise DataError(f"{name}:1: the header has bad quoting: {error}.") from error
    twice = [column for column, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{name}:1: the header names {twice[0]!r} twice. Rename one of them.")
    return names
