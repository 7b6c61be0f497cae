"""Predictions as lines: JSON, or CSV with a column for the probability of each class, safe to open as a
spreadsheet."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, Protocol, runtime_checkable

from tunesmith.deploy.result import Prediction
from tunesmith.errors import ExperimentError
from tunesmith.files import whole_file, writing

Form = Literal["jsonl", "csv"]
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings of cells that a spreadsheet takes for formulas."""
_NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)*(?:[eE][+-]?\d+)?%?")
_COLUMNS = ("id", "reading", "unread", "answer", "ended")

Write = Callable[[Prediction], None]


@runtime_checkable
class Lines(Protocol):
    """What text is written to."""

    def write(self, text: str, /) -> Any:
        """Write a text."""


@contextmanager
def opened(output: Path | None) -> Iterator[IO[str]]:
    """A text file to write predictions to. At `output` it stands whole when the block ends without an error, or not
    at all."""
    if output is None:
        yield sys.stdout
    elif output.exists() and not output.is_file():
        if output.is_dir():
            raise ExperimentError(f"--output {output}: is a folder; name a file")
        with writing(output):
            file = _text(output)
        with file:
            yield file
    else:
        with whole_file(output) as temporary, _text(temporary) as file:
            yield file


def writer(form: Form, file: Lines, labels: Sequence[str] | None) -> Write:
    """A function that writes a prediction as a line. CSV begins with its header; `labels` are the classes whose
    probabilities it has."""
    if form == "jsonl":
        return lambda row: _put(file, json.dumps(vars(row), ensure_ascii=False) + "\n")
    rows = csv.writer(_Safe(file), lineterminator="\n")
    rows.writerow([*_COLUMNS, *(f"probability of {label}" for label in labels or ())])

    def write(row: Prediction) -> None:
        known = row.probabilities or {}
        rows.writerow([*map(_plain_cell, _cells(row)), *(known.get(label, "") for label in labels or ())])

    return write


def _cells(row: Prediction) -> Iterator[Any]:
    """What stands in the columns; a value that is no text stands there as JSON."""
    for name in _COLUMNS:
        value = vars(row)[name]
        is_plain = value is None or isinstance(value, str)
        yield value if is_plain else json.dumps(value, ensure_ascii=False)


def _plain_cell(value: Any) -> Any:
    """The value, with an apostrophe before a text that a spreadsheet would run as a formula; numbers stay."""
    if not isinstance(value, str) or not value.startswith(_FORMULA):
        return value
    return value if _NUMBER.fullmatch(value) else f"'{value}"


class _Safe:
    """A file that takes halves of surrogate pairs, which UTF-8 has not."""

    def __init__(self, file: Lines) -> None:
        self._file = file

    def write(self, text: str) -> None:
        """Write a text."""
        _put(self._file, text)


def _put(file: Lines, text: str) -> None:
    file.write(text.encode("utf-8", "backslashreplace").decode())


def _text(path: Path) -> IO[str]:
    return path.open("w", encoding="utf-8", newline="\n")
