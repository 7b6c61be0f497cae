"""Reads all sources of an experiment once: records go to the store, their keys and signatures to what the
split needs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tunesmith.config.experiment import Data
from tunesmith.data.keys import KeyBuilder
from tunesmith.data.layouts import with_messages
from tunesmith.data.picture import pictures_in
from tunesmith.data.places import Folders
from tunesmith.data.progress import Report
from tunesmith.data.record import Record
from tunesmith.data.sides import Side
from tunesmith.data.similar import Signatures
from tunesmith.data.sources import BadRow, Source
from tunesmith.data.store import StoreWriter, canonical
from tunesmith.data.taking import Taking
from tunesmith.errors import DataError, counted, did_you_mean, in_words

NUM_LISTED = 20
_RECORDS_BETWEEN_REPORTS = 1000
_PICTURES_BETWEEN_REPORTS = 20


@dataclass
class BadRows:
    """Rows that cannot be read: all counted, the first of them kept."""

    count: int = 0
    first: list[tuple[str, str]] = field(default_factory=list)

    def add(self, where: str, why: str) -> None:
        """Take note of one."""
        self.count += 1
        if len(self.first) < NUM_LISTED:
            self.first.append((where, why))

    def refuse(self) -> None:
        """DataError that lists them, if there are any."""
        if not self.count:
            return
        listed = [f"  {where}: {why}" for where, why in self.first]
        more = [f"  ... and {self.count - NUM_LISTED} more"] if self.count > NUM_LISTED else []
        them, they_are = ("it", "it is") if self.count == 1 else ("them", "they are")
        advice = f"Put {them} right, or set data.on_bad_rows to skip: then {they_are} left out, counted and reported."
        raise DataError(
            "\n".join([f"data: {counted(self.count, 'row')} cannot be used:", *listed, *more, advice])
        )


def sources_of(data: Data) -> list[tuple[Side, Source]]:
    """The sources of an experiment and the side that each stands for."""
    held = ((Side.VALIDATION, data.split.validation), (Side.TEST, data.split.holdout))
    return [
        (Side.TRAIN, data.source),
        *((side, source) for side, source in held if isinstance(source, Source)),
    ]


@dataclass
class Reader:
    """Takes rows in, one at a time; what is wrong with a row is noted and never raised."""

    store: StoreWriter
    keys: KeyBuilder
    signatures: Signatures | None
    check: Callable[[Record], None] | None
    chat: bool
    """True if the task asks about `messages`, so that the layouts of chats are read."""
    taking: Taking | None = None
    """What takes pictures, if the task asks about any."""
    bad: BadRows = field(default_factory=BadRows)
    folders: Folders = field(default_factory=Folders)
    """Where the pictures of the records are."""

    def read(self, data: Data, base: Path, report: Report) -> None:
        """Take in all sources; DataError if one cannot be read at all."""
        if self.taking is not None:
            _require_folder(data, base)
        count = 0
        often = _RECORDS_BETWEEN_REPORTS if self.taking is None else _PICTURES_BETWEEN_REPORTS
        for side, source in sources_of(data):
            beside = partial(_beside, data, source, base)
            for row in self._rows(source, base, beside):
                self._take(row, side, beside)
                count += 1
                if count % often == 0:
                    report("reading records", count)

    def _rows(self, source: Source, base: Path, beside: Callable[[str], str]) -> Iterator[Record | BadRow]:
        if self.taking is None:
            return source.rows(base)
        rows = source.rows_with_pictures(base, self.taking.fields)
        return self.taking.taken(rows, lambda where: base / beside(where))

    def _take(self, row: Record | BadRow, side: Side, beside: Callable[[str], str]) -> None:
        if isinstance(row, BadRow):
            self.bad.add(row.where, row.why)
            return
        try:
            row = _without_bytes(row)
            record = with_messages(row) if self.chat else row
            text = canonical(record.fields)
            if self.check is not None:
                self.check(record)
            sha256 = hashlib.sha256(text.encode()).hexdigest()
            compared = self.keys.add(record.id, sha256, record.fields, side)
        except (DataError, ValueError) as error:
            self.bad.add(
                row.id, "; ".join(line.removeprefix(f"{row.id}: ") for line in str(error).splitlines())
            )
            return
        index, has_pictures = len(self.keys) - 1, any(pictures_in(record.fields))
        if has_pictures:
            self.folders.note(index, beside(record.id))
        elif self.signatures is not None:
            self.signatures.add(index, compared)
        self.store.add(record.id, sha256, text)


def _require_folder(data: Data, base: Path) -> None:
    """DataError if there is no folder where all pictures are said to be."""
    named = data.pictures.folder
    if named is None or (base / named.expanduser()).is_dir():
        return
    parent = (base / named.expanduser()).parent
    beside = sorted(entry.name for entry in parent.glob("*") if entry.is_dir())
    raise DataError(
        f"data.pictures.folder: there is no folder {named.name!r} in {in_words(parent)}."
        + (did_you_mean(named.name, beside) or f" It has {', '.join(beside[:10]) or 'no folders'}.")
    )


def _beside(data: Data, source: Source, base: Path, where: str) -> str:
    """Folder, relative to `base`, that the names of pictures in a row are relative to."""
    folder = data.pictures.folder
    return source.beside(base, where) if folder is None else folder.expanduser().as_posix()


def _without_bytes(record: Record) -> Record:
    """The record without fields that hold bytes, of which no task can ask but as pictures."""
    kept = {name: value for name, value in record.fields.items() if not _holds_bytes(value)}
    return record if len(kept) == len(record.fields) else Record(record.id, kept)


def _holds_bytes(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_holds_bytes, value[:1]))
    return isinstance(value, bytes) or (isinstance(value, Mapping) and isinstance(value.get("bytes"), bytes))
