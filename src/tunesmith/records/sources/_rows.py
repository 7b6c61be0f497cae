"""What all sources have in common: naming columns, and finding the files that a path means."""

from __future__ import annotations

import glob
import gzip
import io
import zlib
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tunesmith.errors import DataError, did_you_mean, in_words
from tunesmith.files import expanded
from tunesmith.records.fields import value_at
from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow, Source

LONGEST_ROW = 64 * 2**20
"""Bytes in one row beyond which the file is taken for something else than it is said to be."""

_DEEPEST = 100


@dataclass(frozen=True)
class File:
    """One file of a source: the name that records carry, and where it is."""

    name: str
    path: Path

    @contextmanager
    def open(self, is_utf16: bool = False) -> Iterator[io.BufferedReader]:
        """Its bytes, unpacked if they are gzip; DataError if they cannot be read to the end, or are no text.
        `is_utf16` lets UTF-16 through."""
        try:
            with self.path.open("rb", buffering=0) as raw:
                packed = raw.read(2) == b"\x1f\x8b"
                raw.seek(0)
                unpacked = gzip.GzipFile(fileobj=raw) if packed else raw
                with io.BufferedReader(cast(Any, unpacked)) as plain:
                    _refuse_no_text(self.name, plain.peek(64), is_utf16)
                    yield plain
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(
                f"{self.name}: cannot be read to its end ({error}). Is the file whole?"
            ) from error


_LFS = b"version https://git-lfs"
_NO_TEXT = {
    b"PK\x03\x04": "is a zip archive (Excel's .xlsx is one too). Unpack it, or save the table as CSV",
    b"\x28\xb5\x2f\xfd": "is packed by zstd. Unpack it (`zstd -d`), or pack it by gzip",
    b"BZh": "is packed by bzip2. Unpack it (`bunzip2`), or pack it by gzip",
    b"\xfd7zXZ": "is packed by xz. Unpack it (`unxz`), or pack it by gzip",
    b"PAR1": "is a Parquet file. Write `kind: parquet`",
    b"ARROW1": "is an Arrow file. Write `kind: hub` for a folder made by `Dataset.save_to_disk`, or save it as Parquet",
    _LFS: "is a pointer of Git LFS, not the file itself. Fetch it by `git lfs pull`",
    b"<!DOCTYPE": "is a web page. Download the file itself",
    b"<html": "is a web page. Download the file itself",
}
"""What a file is, by its first bytes."""


def refuse_pointer(name: str, path: Path) -> None:
    """Raise DataError if a file that is no text is only a pointer of Git LFS."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_LFS))
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror or error}).") from error
    if start == _LFS:
        raise DataError(f"{name}: {_NO_TEXT[_LFS]}.")


def _refuse_no_text(name: str, start: bytes, is_utf16: bool) -> None:
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) and not is_utf16:
        raise DataError(
            f"{name}: is UTF-16, not UTF-8. Save it as UTF-8; a CSV file can also be read with `encoding: utf-16`."
        )
    for beginning, what in _NO_TEXT.items():
        if start.startswith(beginning):
            raise DataError(f"{name}: {what}.")


class FileSource(Source):
    """A source that is one file or several."""

    path: str | list[str]
    """A file, a pattern such as `data/*.jsonl`, or a list of these. gzip is recognised by its content."""

    @abstractmethod
    def rows_of(self, file: File) -> Iterator[Record | BadRow]:
        """Rows of one file."""

    def rows(self, base: Path) -> Iterator[Record | BadRow]:
        """Rows of all files, in the order of `path`, matches of a pattern by name."""
        return self._of_all(base, self.rows_of)

    def beside(self, base: Path, where: str) -> str:
        """The folder of the row's file."""
        return Path(where.rpartition(":")[0]).parent.as_posix()

    def _of_all(
        self, base: Path, rows_of: Callable[[File], Iterator[Record | BadRow]]
    ) -> Iterator[Record | BadRow]:
        for file in self.files(base):
            empty = True
            for row in rows_of(file):
                empty = False
                yield row
            if empty:
                raise DataError(f"{file.name}: is empty: it holds no rows.")

    def fingerprint(self, base: Path) -> str:
        """Name, size and time of change of every file."""
        stats = [(file.name, file.path.stat()) for file in self.files(base)]
        return "; ".join(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats)

    def files(self, base: Path) -> list[File]:
        """The files that `path` means; DataError if there are none."""
        patterns = [self.path] if isinstance(self.path, str) else self.path
        found = {path: None for pattern in patterns for path in _matches(base, pattern)}
        if not found:
            raise DataError("data source: path is an empty list; name at least one file.")
        return [File(_name(path, base), path) for path in found]


def _matches(base: Path, pattern: str) -> list[Path]:
    path = base / expanded(Path(pattern))
    if path.is_file():
        return [path]
    if path.is_dir():
        raise DataError(f"{pattern}: is a folder. Name its files, such as {pattern.rstrip('/')}/*.")
    if path.exists():
        raise DataError(
            f"{pattern}: is a pipe or a device, not a file, so it cannot be read twice. Write its content to a file."
        )
    if glob.has_magic(pattern):
        matches = sorted(
            Path(match) for match in glob.glob(str(path), recursive=True) if Path(match).is_file()
        )
        if matches:
            return matches
        raise DataError(f"{pattern}: no file in {in_words(base)} matches this pattern.")
    raise DataError(f"{pattern}: there is no such file in {in_words(path.parent)}." + _neighbour(path))


def _neighbour(path: Path) -> str:
    if not path.parent.is_dir():
        return " The folder does not exist either."
    names = sorted(entry.name for entry in path.parent.iterdir() if entry.is_file())
    return did_you_mean(path.name, names) or (
        f" It has {', '.join(names[:10])}." if names else " It has no files."
    )


def _name(path: Path, base: Path) -> str:
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()


def row(where: str, fields: Mapping[str, Any], columns: Mapping[str, str]) -> Record | BadRow:
    """The record with its columns renamed to fields, or what is wrong with it."""
    if _is_deep(fields):
        return BadRow(where, f"holds objects and lists that are nested more than {_DEEPEST} deep.")
    if not columns:
        return Record(where, fields)
    named = {}
    for field, column in columns.items():
        try:
            named[field] = value_at(fields, column)
        except ValueError as fault:
            is_plain = column.split(".")[0] not in fields
            return BadRow(where, _lacks(column, fields) if is_plain else f"data.source.columns: {fault}.")
    renamed = set(columns.values())
    kept = {name: value for name, value in fields.items() if name not in renamed}
    return Record(where, kept | named)


def _is_deep(fields: Mapping[str, Any]) -> bool:
    """True if objects and lists are nested deeper than anything that reads them later can go."""
    level: list[Any] = [fields]
    for _ in range(_DEEPEST):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, Mapping) else one)
            if isinstance(inner, Mapping | list)
        ]
        if not level:
            return False
    return True


def require_columns(where: str, columns: Mapping[str, str], present: Collection[str]) -> None:
    """DataError if a mapped column is not among those that a whole table has."""
    for column in columns.values():
        if not {column, column.split(".")[0]} & set(present):
            raise DataError(f"{where}: {_lacks(column, present)}")


def _lacks(column: str, present: Collection[str]) -> str:
    return f"has no column {column!r} (it has {', '.join(present) or 'none'})." + did_you_mean(
        column, present
    )
