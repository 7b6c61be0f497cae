"""Reads all sources of an experiment once: records go to the store, their keys and signatures to what the
split needs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tunesmith.config.experiment import Data
from tunesmith.data.keys import KeyBuilder
from tunesmith.data.layouts import with_messages
from tunesmith.data.progress import Report
from tunesmith.data.record import Record
from tunesmith.data.sides import Side
from tunesmith.data.similar import Signatures
from tunesmith.data.sources import BadRow, Source
from tunesmith.data.store import StoreWriter, canonical
from tunesmith.errors import DataError

NUM_LISTED = 20
_RECORDS_BETWEEN_REPORTS = 1000


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
        advice = (
            "Put them right, or set data.on_bad_rows to skip: then they are left out, counted and reported."
        )
        raise DataError("\n".join([f"data: {self.count} rows cannot be used:", *listed, *more, advice]))


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
    bad: BadRows = field(default_factory=BadRows)

    def read(self, data: Data, base: Path, report: Report) -> None:
        """Take in all sources; DataError if one cannot be read at all."""
        count = 0
        for side, source in sources_of(data):
            for row in source.rows(base):
                self._take(row, side)
                count += 1
                if count % _RECORDS_BETWEEN_REPORTS == 0:
                    report("reading records", count)

    def _take(self, row: Record | BadRow, side: Side) -> None:
        if isinstance(row, BadRow):
            self.bad.add(row.where, row.why)
            return
        try:
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
        if self.signatures is not None:
            self.signatures.add(len(self.keys) - 1, compared)
        self.store.add(record.id, sha256, text)
