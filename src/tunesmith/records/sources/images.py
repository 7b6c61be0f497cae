"""Source `images`: pictures in folders, the name of a picture's folder being its class."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import field_validator

from tunesmith.errors import DataError, did_you_mean, in_words
from tunesmith.files import expanded
from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow, Source
from tunesmith.records.sources._rows import row

_SYSTEM_FILES = {"thumbs.db", "desktop.ini"}
"""Files that operating systems add to folders of pictures."""


class Images(Source):
    """A folder with one folder for each class, which may hold further folders.

    Fields: `image`, the file's path inside the folder; `label`, the class; and what `pattern` names. Hidden files are
    passed over; every other one is a record, so that a file that is no picture is told as a bad row.
    """

    kind: Literal["images"] = "images"
    path: str
    """The folder that holds the folders of the classes."""
    pattern: str | None = None
    """Regular expression that a file's path (from the class's folder on) begins with; its named groups are further
    fields, such as a person's folder: `(?P<identity>[^/]+/[^/]+)/`."""

    @field_validator("pattern")
    @classmethod
    def _names_fields(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            named = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression ({error})") from error
        if not named or {"image", "label"} & named.keys():
            raise ValueError(
                f"{pattern!r} names {', '.join(named) or 'no field'}; it needs a named group such as "
                "(?P<identity>...), and none named image or label"
            )
        return pattern

    def rows(self, base: Path) -> Iterator[Record | BadRow]:
        """One row a file, named by its path, classes and files in natural order (`2.jpg` before `10.jpg`). A file
        beside the classes' folders is a bad row, and so is an empty folder; DataError if there is no such folder, or no
        class in it."""
        entries = [Path(entry) for entry in self._folder(base).iterdir() if _counts(entry.name)]
        named, empty = Path(self.path).as_posix(), True
        for file in sorted((entry for entry in entries if not entry.is_dir()), key=_natural):
            yield BadRow(f"{named}/{file.name}", "lies in no folder of a class. Move it into one.")
        for folder in sorted((entry for entry in entries if entry.is_dir()), key=_natural):
            names = list(files_in(folder))
            if not names:
                why = "is an empty folder. Put the pictures of that class into it, or remove it."
                yield BadRow(f"{named}/{folder.name}", why)
            for name in names:
                empty = False
                where = f"{named}/{folder.name}/{name}"
                found = re.match(self.pattern or "", f"{folder.name}/{name}")
                if found is None:
                    yield BadRow(where, f"does not fit data.source.pattern, {self.pattern!r}.")
                    continue
                fields = {"image": f"{folder.name}/{name}", "label": folder.name, **found.groupdict()}
                yield row(where, fields, self.columns)
        if empty:
            raise DataError(
                f"{self.path}: holds no pictures in folders. Put the pictures of each class into a folder of its name."
            )

    def beside(self, base: Path, where: str) -> str:
        """The folder of the classes' folders."""
        return expanded(Path(self.path)).as_posix()

    def fingerprint(self, base: Path) -> str:
        """Number of files, and a hash of their names, sizes and times of change."""
        folder = self._folder(base)
        told = hashlib.sha256()
        count = 0
        for name in files_in(folder):
            file = folder / name
            stat = file.stat() if file.exists() else file.lstat()
            told.update(f"{name}\0{stat.st_size} {stat.st_mtime_ns}\n".encode(errors="surrogateescape"))
            count += 1
        return f"{self.path} {count} {told.hexdigest()[:16]}"

    def _folder(self, base: Path) -> Path:
        folder = base / expanded(Path(self.path))
        if folder.is_dir():
            return folder
        if folder.exists():
            raise DataError(f"{self.path}: is a file. Name the folder that holds a folder for each class.")
        beside = sorted(entry.name for entry in folder.parent.glob("*") if entry.is_dir())
        raise DataError(
            f"{self.path}: there is no such folder in {in_words(folder.parent)}."
            + did_you_mean(folder.name, beside)
        )


def files_in(folder: Path, hidden: bool = False) -> Iterator[str]:
    """Paths of all files inside a folder, in natural order, a folder at a time; hidden ones only if asked for."""

    def counts(name: str) -> bool:
        return hidden if name.startswith(".") else _counts(name)

    for where, folders, names in os.walk(folder):
        folders[:] = sorted(filter(counts, folders), key=_natural)
        inside = Path(where).relative_to(folder)
        for name in sorted(filter(counts, names), key=_natural):
            yield (inside / name).as_posix()


def _counts(name: str) -> bool:
    return not name.startswith(".") and name.casefold() not in _SYSTEM_FILES


def _natural(name: str | Path) -> list[tuple[int, str]]:
    """By its numbers as numbers.

    >>> sorted(["b10", "b9", "a"], key=_natural)
    ['a', 'b9', 'b10']
    """
    parts = re.split("([0-9]+)", Path(name).name)
    return [(int(part), "") if index % 2 else (0, part.casefold()) for index, part in enumerate(parts)] + [
        (0, Path(name).name)
    ]
