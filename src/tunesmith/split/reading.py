"""Reads all sources of an experiment once: records go to the store, their keys and signatures to what the
split needs."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tunesmith.config.experiment import Data, Join
from tunesmith.errors import DataError, counted, did_you_mean, in_words, visible
from tunesmith.files import expanded
from tunesmith.images.picture import pictures_in
from tunesmith.images.roots import ImageRootLog
from tunesmith.records.filter import compile_filter
from tunesmith.records.image_ingestion import ImageIngestor
from tunesmith.records.join import joined
from tunesmith.records.progress import Report
from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow, Source
from tunesmith.records.store import StoreWriter, canonical
from tunesmith.records.survey import Survey
from tunesmith.records.unread import RowNotes, without_ignored
from tunesmith.runs.manifest import BadRowSummary
from tunesmith.split.dedup_keys import KeyBuilder
from tunesmith.split.sides import Side
from tunesmith.split.similar_texts import AlikeBuilder

NUM_LISTED = 20
_NUM_ALIKE = 3
_NUM_NAMED = 12
_MOST_LETTERS = 600
"""Characters of one fault; what is longer holds a value of the data."""
_VARYING = re.compile(r"'(?:[^'\\\\]|\\\\.)*'|\"(?:[^\"\\\\]|\\\\.)*\"|-?\d+(?:\.\d+)?")
"""What differs between two faults of one kind: quoted values and numbers."""
_RECORDS_BETWEEN_REPORTS = 1000
_PICTURES_BETWEEN_REPORTS = 20


@dataclass
class BadRows:
    """Rows that cannot be read: all counted by what is wrong with them, the first of each kind kept."""

    count: int = 0
    first: list[tuple[str, str]] = field(default_factory=list)
    """Where and why, of the first row of each kind."""
    alike: list[_Alike] = field(default_factory=list)
    """For each of `first`, the other rows of its kind."""
    _kinds: dict[str, int] = field(default_factory=dict)

    def add(self, where: str, why: str) -> None:
        """Take note of one."""
        self.count += 1
        why = why if len(why) <= _MOST_LETTERS else f"{why[:_MOST_LETTERS]}..."
        kind = _VARYING.sub("'", why)
        place = self._kinds.get(kind)
        if place is not None:
            self.alike[place].add(where)
        elif len(self.first) < NUM_LISTED:
            self._kinds[kind] = len(self.first)
            self.first.append((where, why))
            self.alike.append(_Alike())

    def summary(self) -> BadRowSummary:
        """The counts and first rows for `manifest.json`."""
        return BadRowSummary(self.count, tuple(self.first), tuple(alike.count for alike in self.alike))

    def refuse(self, hint: str = "") -> None:
        """DataError that lists them, if there are any; `hint` is what may mend all of them."""
        if not self.count:
            return
        listed = [
            f"  {where}: {why}{alike.suffix()}"
            for (where, why), alike in zip(self.first, self.alike, strict=True)
        ]
        rest = self.count - len(self.first) - sum(alike.count for alike in self.alike)
        more = [f"  ... and {rest:,} more"] if rest else []
        them, they_are = ("it", "it is") if self.count == 1 else ("them", "they are")
        advice = f"Put {them} right, or set data.on_bad_rows to skip: then {they_are} left out, counted and reported."
        raise DataError(
            "\n".join(
                filter(
                    None,
                    [f"data: {counted(self.count, 'row')} cannot be used:", *listed, *more, hint, advice],
                )
            )
        )


@dataclass
class _Alike:
    """Rows with the same fault as another."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, where: str) -> None:
        """Take note of one."""
        self.count += 1
        if len(self.first) < _NUM_ALIKE:
            self.first.append(where)

    def suffix(self) -> str:
        """Text to append to the fault of the first row."""
        if not self.count:
            return ""
        named = ", ".join(where.rpartition(":")[2] or where for where in self.first)
        more = ", ..." if self.count > len(self.first) else ""
        return f" (and {counted(self.count, 'row')} like it: {named}{more})"


@dataclass(frozen=True)
class Use:
    """What a task does with the rows of its data."""

    check: Callable[[Record], RowNotes | None]
    """Returns what to count of a record; DataError for one that the task cannot use."""
    laid_out: Callable[[Record], Record] = lambda record: record
    """Returns the record in the layout that the task reads, before its pictures are read; DataError for a wrong one."""
    survey: Survey | None = None
    """What the task learns from all records together."""


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
    alike: AlikeBuilder | None
    use: Use | None
    taking: ImageIngestor | None = None
    """What takes pictures, if the task asks about any."""
    join: Join | None = None
    """Which rows become one record."""
    where: str | None = None
    """The condition of records that are used."""
    num_filtered: int = 0
    """Records for which the condition does not hold."""
    bad: BadRows = field(default_factory=BadRows)
    roots: ImageRootLog = field(default_factory=ImageRootLog)
    """Where the pictures of the records are."""
    unread: Counter[str] = field(default_factory=Counter)
    """By the name of a field that the task does not read, the number of records that have it."""
    pictured: Counter[str] = field(default_factory=Counter)
    """By the name of a field that the task shows pictures of, the number of records that have one there."""
    as_json: Counter[str] = field(default_factory=Counter)
    """By the name of a field whose values are written as JSON text, the number of records."""

    def notes(self) -> list[str]:
        """What a user may not expect of the records, a sentence each."""
        told = []
        if self.num_filtered:
            told.append(
                f"{counted(self.num_filtered, 'record')} left out, for which data.where ({self.where}) does not hold."
            )
        if self.unread:
            what = counted(len(self.unread), "field is", "fields are")
            told.append(f"{what} not used by the task: {_listed(self.unread)}.")
        if self.as_json:
            told.append(f"Objects and lists are written as JSON text: {_listed(self.as_json)}.")
        told += [] if self.taking is None else self.taking.notes()
        return told + ([] if self._survey is None else self._survey.notes())

    def advice(self) -> str:
        """What would mend all bad rows, if the task knows it."""
        return "" if self._survey is None else self._survey.advice()

    @property
    def _survey(self) -> Survey | None:
        return None if self.use is None else self.use.survey

    def read(self, data: Data, base: Path, report: Report) -> None:
        """Take in all sources; DataError if one cannot be read at all."""
        if self.taking is not None:
            _require_folder(data, base)
        count = 0
        often = _RECORDS_BETWEEN_REPORTS if self.taking is None else _PICTURES_BETWEEN_REPORTS
        for side, source in sources_of(data):
            beside = partial(_beside, data, source, base)
            for row in self._rows(source, base, data.ignore, beside):
                self._take(row, side, beside)
                count += 1
                if count % often == 0:
                    report("reading records", count)
        # Bad rows may be those with the pictures, and are the better reason.
        if not self.bad.count or data.on_bad_rows == "skip":
            self._refuse_no_pictures()

    def _refuse_no_pictures(self) -> None:
        """Raise DataError for a field of pictures in which no record has one."""
        lacking = [name for name in self.taking.fields if not self.pictured[name]] if self.taking else []
        if lacking and len(self.keys):
            raise DataError(
                f"task: no record has a picture in {' or '.join(map(repr, lacking))}. Name the fields that hold the "
                "pictures, or leave these out"
                + (
                    f". The first row that was left out is {': '.join(self.bad.first[0])}"
                    if self.bad.count
                    else ""
                )
            )

    def _rows(
        self, source: Source, base: Path, ignored: Sequence[str], beside: Callable[[str], str]
    ) -> Iterator[Record | BadRow]:
        if self.taking is None:
            return self._laid_out(self._filtered(self._joined(source.rows(base))), ignored)
        # Pictures that messages name have a field that no source knows.
        fields = tuple(
            dict.fromkeys(one for name in self.taking.fields for one in (name, name.split(".")[0]))
        )
        rows = self._laid_out(self._filtered(self._joined(source.rows_with_pictures(base, fields))), ignored)
        return self.taking.resolve(rows, lambda where: base / beside(where))

    def _joined(self, rows: Iterator[Record | BadRow]) -> Iterator[Record | BadRow]:
        return rows if self.join is None else joined(rows, self.join)

    def _filtered(self, rows: Iterator[Record | BadRow]) -> Iterator[Record | BadRow]:
        """The rows for which `data.where` holds; a record without a field that it names is a bad row."""
        if self.where is None:
            yield from rows
            return
        holds = compile_filter(self.where)
        for row in rows:
            if isinstance(row, BadRow):
                yield row
                continue
            try:
                if holds(row):
                    yield row
                else:
                    self.num_filtered += 1
            except DataError as error:
                yield BadRow(row.id, _why(row, error))

    def _laid_out(self, rows: Iterator[Record | BadRow], ignored: Sequence[str]) -> Iterator[Record | BadRow]:
        """The rows in the layout that the task reads, without fields that are to be ignored."""
        for row in rows:
            if isinstance(row, BadRow):
                yield row
                continue
            try:
                record = without_ignored(row, ignored)
                yield record if self.use is None else self.use.laid_out(record)
            except DataError as error:
                yield BadRow(row.id, _why(row, error))

    def _take(self, row: Record | BadRow, side: Side, beside: Callable[[str], str]) -> None:
        if isinstance(row, BadRow):
            self.bad.add(row.where, row.why)
            return
        try:
            record = _without_bytes(row)
            text = canonical(record.fields)
            if self._survey is not None:
                self._survey.see(record)
            notes = None if self.use is None else self.use.check(record)
            sha256 = hashlib.sha256(text.encode()).hexdigest()
            compared = self.keys.add(
                record.id, sha256, record.fields, side, None if notes is None else notes.answer
            )
        except (DataError, ValueError) as error:
            self.bad.add(row.id, _why(row, error))
            return
        if self.taking is not None:
            self.pictured.update(
                name for name in self.taking.fields if any(pictures_in({"": record.fields.get(name)}))
            )
        if notes is not None:
            self.unread.update(notes.unread)
            self.as_json.update(notes.as_json)
        index, has_pictures = len(self.keys) - 1, any(pictures_in(record.fields))
        if has_pictures:
            self.roots.note(index, beside(record.id))
        elif self.alike is not None:
            self.alike.add(index, *compared)
        self.store.add(record.id, sha256, text)


def _require_folder(data: Data, base: Path) -> None:
    """DataError if there is no folder where all pictures are said to be."""
    named = data.pictures.folder
    if named is None or (base / expanded(named)).is_dir():
        return
    parent = (base / expanded(named)).parent
    beside = sorted(entry.name for entry in parent.glob("*") if entry.is_dir())
    raise DataError(
        f"data.pictures.folder: there is no folder {named.name!r} in {in_words(parent)}."
        + (did_you_mean(named.name, beside) or f" It has {', '.join(beside[:10]) or 'no folders'}.")
    )


def _beside(data: Data, source: Source, base: Path, where: str) -> str:
    """Folder, relative to `base`, that the names of pictures in a row are relative to."""
    folder = data.pictures.folder
    return source.beside(base, where) if folder is None else expanded(folder).as_posix()


def _why(row: Record, error: Exception) -> str:
    """What is wrong with a row, in one line without its name."""
    return "; ".join(line.removeprefix(f"{row.id}: ") for line in str(error).splitlines())


def _listed(counts: Counter[str]) -> str:
    """The first names with their numbers.

    >>> _listed(Counter(id=12, url=1))
    'id (12 records), url (1 record)'
    """
    named = [
        f"{visible(name)} ({counted(count, 'record')})" for name, count in counts.most_common(_NUM_NAMED)
    ]
    more = [f"{len(counts) - _NUM_NAMED:,} more"] if len(counts) > _NUM_NAMED else []
    return ", ".join([*named, *more])


def _without_bytes(record: Record) -> Record:
    """The record without fields that hold bytes, of which no task can ask but as pictures."""
    kept = {name: value for name, value in record.fields.items() if not _holds_bytes(value)}
    if len(kept) == len(record.fields):
        return record
    left_out = tuple(name for name in record.fields if name not in kept)
    return Record(record.id, kept, (*record.left_out, *left_out))


def _holds_bytes(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_holds_bytes, value[:1]))
    return isinstance(value, bytes) or (isinstance(value, Mapping) and isinstance(value.get("bytes"), bytes))
