"""The registry of sources: one file per form in which records lie about. Each yields records, one at a time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from tunesmith.config.settings import Settings
from tunesmith.records.record import Record


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be read, with where it stands and what is wrong."""

    where: str
    why: str


class Source(Settings):
    """What every source can do."""

    kind: Any
    columns: dict[str, str] = Field(default={})
    """Field name to column name, where they differ."""

    @abstractmethod
    def rows(self, base: Path) -> Iterator[Record | BadRow]:
        """Rows in their order on disk, read as they are asked for. Relative paths are relative to `base` (the
        experiment file's folder). DataError if the whole source cannot be read."""

    def rows_with_pictures(self, base: Path, fields: tuple[str, ...]) -> Iterator[Record | BadRow]:
        """Rows in which these fields may hold bytes of pictures (or an object with `bytes` or `path`); overridden by
        a source that else leaves bytes out."""
        return self.rows(base)

    def beside(self, base: Path, where: str) -> str:
        """The folder, relative to `base`, that names of pictures in the row of that id are relative to."""
        return ""

    @abstractmethod
    def fingerprint(self, base: Path) -> str:
        """Text that changes when the source does (size and time of a file, revision of a data set)."""
