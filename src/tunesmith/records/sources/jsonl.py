"""Source `jsonl`: one JSON object a line."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from io import BufferedReader
from typing import Any, Literal

from tunesmith.errors import DataError
from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow
from tunesmith.records.sources._json_values import describe, parse, why_not
from tunesmith.records.sources._rows import LONGEST_ROW, File, FileSource, row


class Jsonl(FileSource):
    """JSON Lines: UTF-8, one object a line. Blank lines are passed over; NaN reads as null."""

    kind: Literal["jsonl"] = "jsonl"

    def rows_of(self, file: File) -> Iterator[Record | BadRow]:
        """One row a line, named `file:line`; DataError if the file is a JSON array, or no text at all."""
        with file.open() as lines:
            yield from self.rows_in(file.name, lines)

    def rows_in(self, name: str, stream: BufferedReader) -> Iterator[Record | BadRow]:
        """One row a line of an open stream, as soon as the line is there; DataError as `rows_of`."""
        for number, line in _lines(name, stream):
            if number == 1 and line.lstrip().startswith(b"["):
                raise DataError(f"{name}: is a JSON array, not JSON Lines. Write `kind: json`.")
            yield self._row(f"{name}:{number}", line)

    def _row(self, where: str, line: bytes) -> Record | BadRow:
        try:
            fields: Any = parse(line.rstrip(b"\r\n").decode())
        except UnicodeDecodeError as error:
            return BadRow(where, f"byte 0x{line[error.start]:02x} at column {error.start + 1} is not UTF-8.")
        except json.JSONDecodeError as error:
            return BadRow(where, f"bad JSON at column {error.colno}: {error.msg}.")
        except (RecursionError, ValueError) as error:
            return BadRow(where, f"bad JSON: {why_not(error)}.")
        if not isinstance(fields, dict):
            return BadRow(where, f"is {describe(fields)}, not an object {{...}}.")
        return row(where, fields, self.columns)


def _lines(name: str, lines: BufferedReader) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := lines.readline(LONGEST_ROW):
        number += 1
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if len(line) >= LONGEST_ROW:
            raise DataError(f"{name}:{number}: is longer than {LONGEST_ROW >> 20} MiB. Is this JSON Lines?")
        if not line.isspace() and line:
            yield number, line
