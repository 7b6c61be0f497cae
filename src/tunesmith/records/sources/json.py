"""Source `json`: an array of objects, or an object that holds one; read piece by piece, so of any size."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from io import BufferedReader
from typing import Any, Literal

from tunesmith.errors import DataError
from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow
from tunesmith.records.sources._json_values import DECODER, describe, why_not
from tunesmith.records.sources._rows import LONGEST_ROW, File, FileSource, row

_CHUNK = 2**20
_SPACE = re.compile(r"[ \t\r\n]*")
_CUT_TOKEN = 16
"""Characters that a token cut by the end of the buffer can have before it, string contents aside:
`\\ud83d\\ude00`."""


class Json(FileSource):
    """A JSON file: `[{...}, ...]`, or `{"data": [{...}, ...], ...}` with one array in it. NaN reads as
    null."""

    kind: Literal["json"] = "json"
    key: str | None = None
    """In a file that is an object, the key of the array of rows; none is its only array."""

    def rows_of(self, file: File) -> Iterator[Record | BadRow]:
        """One row an element, named `file:number` from 1; DataError if the file is no such JSON."""
        with file.open() as stream:
            reader = _Reader(file.name, stream)
            start = reader.peek()
            if start == "":
                return
            if start not in "[{":
                raise reader.fault("the file is neither an array nor an object")
            values = reader.elements() if start == "[" else self._array_within(reader)
            for number, value in enumerate(values, 1):
                where = f"{file.name}:{number}"
                if isinstance(value, dict):
                    yield row(where, value, self.columns)
                else:
                    yield BadRow(where, f"is {describe(value)}, not an object {{...}}.")
            if reader.peek():
                raise reader.fault("more text after the end. If each line is an object, write `kind: jsonl`")

    def _array_within(self, reader: _Reader) -> Iterator[Any]:
        arrays: dict[str, str] = {}
        others: list[str] = []
        for key in reader.members():
            if reader.peek() != "[":
                others.append(key)
                reader.value()
            elif self.key == key or (self.key is None and not arrays):
                yield from _with_summary(reader.elements(), key, arrays)
            else:
                for _ in _with_summary(reader.elements(), key, arrays):
                    pass
        if self.key in arrays or (self.key is None and len(arrays) == 1):
            return
        if arrays:
            asked = f"no array under {self.key!r}, but" if self.key else "several arrays:"
            listed = ", ".join(f"{key} ({what})" for key, what in arrays.items())
            raise DataError(f"{reader.name}: holds {asked} {listed}. {_advice(arrays)}")
        wanted = f"no array under {self.key!r}" if self.key else "no array"
        raise DataError(
            f"{reader.name}: is an object with {wanted} (keys: {', '.join(others[:20]) or 'none'}). "
            "If each line is an object, write `kind: jsonl`."
        )


def _with_summary(elements: Iterator[Any], key: str, arrays: dict[str, str]) -> Iterator[Any]:
    """The elements, and in `arrays` how many there were and which keys the first one has."""
    count, keys = 0, ""
    for count, element in enumerate(elements, 1):
        if count == 1 and isinstance(element, dict):
            keys = f" with {', '.join(list(element)[:6])}"
        yield element
    arrays[key] = f"{count:,} element{'' if count == 1 else 's'}{keys}"


def _advice(arrays: dict[str, str]) -> str:
    """What to do with a file that holds these arrays."""
    longest = max(arrays, key=lambda key: int(arrays[key].split()[0].replace(",", "")))
    if {"images", "annotations"} <= arrays.keys():
        return (
            "This is COCO's layout, whose arrays belong together: join them to one row a picture, with the file's "
            "name, a list of boxes and a list of their categories, and name these in task kind detect."
        )
    return f"Say which by `key`, such as `key: {longest}`."


class _Reader:
    """Takes JSON apart from a stream of bytes, holding no more than one value of an array at a time."""

    def __init__(self, name: str, stream: BufferedReader) -> None:
        self.name = name
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0
        self._lines = 1
        self._ended = False

    def fault(self, what: str) -> DataError:
        """The error for what stands here."""
        return DataError(
            f"{self.name}: bad JSON in line {self._lines + self._text.count(chr(10), 0, self._at)}: {what}."
        )

    def peek(self) -> str:
        """The next character that is not white space; nothing at the end of the file."""
        while True:
            space = _SPACE.match(self._text, self._at)
            assert space is not None
            self._at = space.end()
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def elements(self) -> Iterator[Any]:
        """The values of the array that begins here."""
        yield from self._items("[", "]", self.value)

    def members(self) -> Iterator[str]:
        """The keys of the object that begins here; take each one's value before the next key."""
        return self._items("{", "}", self._key)

    def value(self) -> Any:
        """The value that begins here."""
        self.peek()
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - _CUT_TOKEN
                if not (cut and self._more()):
                    self._at = error.pos
                    raise self.fault(
                        error.msg if self._text[error.pos :] else "the file ends too early"
                    ) from error
            except (RecursionError, ValueError) as error:
                raise self.fault(why_not(error)) from error
            else:
                if end < len(self._text) or not self._more():
                    self._at = end
                    return value

    def _items(self, opening: str, closing: str, take: Any) -> Iterator[Any]:
        self._expect(opening)
        if self.peek() == closing:
            self._expect(closing)
            return
        while True:
            yield take()
            if self.peek() == closing:
                self._expect(closing)
                return
            self._expect(",")

    def _key(self) -> str:
        if self.peek() != '"':
            raise self.fault("a key in double quotes is wanted")
        key = self.value()
        self._expect(":")
        return str(key)

    def _expect(self, character: str) -> None:
        got = self.peek()
        if got != character:
            raise self.fault(
                f"{character!r} is wanted" + (f", not {got!r}" if got else ": the file ends too early")
            )
        self._at += 1

    def _more(self) -> bool:
        """Read on, letting go of what was taken; False at the end of the file."""
        if self._ended:
            return False
        if len(self._text) - self._at > LONGEST_ROW:
            raise self.fault(f"one value is longer than {LONGEST_ROW >> 20} MiB")
        # Doubling what is held keeps the work linear when one value needs many chunks.
        chunk = self._stream.read(max(_CHUNK, len(self._text) - self._at))
        self._ended = not chunk
        self._lines += self._text.count("\n", 0, self._at)
        try:
            self._text = self._text[self._at :] + self._decoder.decode(chunk, final=self._ended)
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise self.fault(f"byte 0x{byte:02x} hereabouts is not UTF-8") from error
        self._at = 0
        return True
