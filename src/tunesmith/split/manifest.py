"""The manifest of a split: which record is on which side, with a checksum of the whole."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Int, UInt64

from tunesmith.errors import DataError
from tunesmith.files import damage
from tunesmith.records.store import RecordStore
from tunesmith.runs.manifest import MANIFEST, EarlierManifest, Manifest
from tunesmith.split.sides import Side

ROWS = "manifest.parquet"
CERTIFICATE = MANIFEST.name
_AT_ONCE = 2**16
_NUM_NAMED = 20


def write_rows(
    folder: Path, store: RecordStore, sides: Int[np.ndarray, " record"], asked: UInt64[np.ndarray, " record"]
) -> str:
    """Write `manifest.parquet` and return its checksum. `asked` are hashes of what each record asks, by which a later
    preparation knows a record whose other fields were corrected."""
    ids, hashes = store.column("id"), store.column("sha256")
    words = pa.array([side.word for side in Side]).take(pa.array(sides))
    columns = {"id": ids, "sha256": hashes, "side": words, "asked": pa.array(asked)}
    table = pa.table({"index": pa.array(np.arange(len(sides))), **columns})
    pq.write_table(table, folder / ROWS)
    return checksum(table)


def checksum(table: pa.Table) -> str:
    """SHA-256 over all rows of a manifest: what it says, whatever the file is written with."""
    total = hashlib.sha256()
    for batch in table.select(["index", "id", "sha256", "side"]).to_batches(_AT_ONCE):
        rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
        total.update("".join("\t".join(map(str, row)) + "\n" for row in rows).encode())
    return total.hexdigest()


def read_certificate(folder: Path) -> Manifest:
    """The content of `manifest.json`. DataError if it is missing or damaged."""
    path = folder / CERTIFICATE
    refuse_changed(path)
    try:
        certificate = MANIFEST.parse(folder)
    except ValueError as error:
        raise DataError(f"{path}: cannot be read ({error}). {_again(path)}") from error
    if certificate is None:
        raise DataError(f"{path}: cannot be read (it does not exist). {_again(path)}")
    return certificate


def read_rows(path: Path) -> pa.Table:
    """The rows of a manifest; DataError if they are missing, broken, or not those that `manifest.json` beside
    them vouches for."""
    refuse_changed(path)
    try:
        table = pq.read_table(path)
        got = checksum(table)
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise DataError(f"{path}: is not a readable manifest ({error}). {_again(path)}") from error
    if (path.parent / CERTIFICATE).is_file():
        stated = read_certificate(path.parent).checksum
        if got != stated:
            raise DataError(
                f"{path}: its checksum is {got[:12]}, but {CERTIFICATE} says {stated[:12]}: it was changed. "
                f"{_again(path)}"
            )
    return table


def refuse_changed(path: Path) -> None:
    """Raise DataError if a file of a prepared folder is not as it was written. This is asked before the file is read:
    a damaged one can end the whole process in pyarrow."""
    if path.exists() and (fault := damage(path.parent, [path.name])) is not None:
        raise DataError(f"{fault}. {_again(path)}")


def _again(path: Path) -> str:
    """What helps if a file of a prepared folder is damaged."""
    return (
        f"Delete the folder {path.parent} and prepare the data again (`tunesmith prepare` or `run`), or take the "
        "folder from where it was made."
    )


def sides_in(table: pa.Table) -> Int[np.ndarray, " record"]:
    """The side of every row."""
    words = pa.array([side.word for side in Side])
    return np.asarray(pc.index_in(table["side"], words).to_numpy(), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Earlier:
    """What an earlier manifest says of the records of a store."""

    sides: Int[np.ndarray, " record"]
    """Side of each record; -1 of those that it does not know."""
    corrected: tuple[str, ...]
    """Ids of records that ask the same as before, with other content."""
    added: tuple[str, ...]
    """Ids of records that it does not know."""
    removed: tuple[str, ...]
    """Ids, as they were then, of records of which nothing is left."""

    def summary(self, manifest: str) -> EarlierManifest:
        """Numbers of records and the first ids of each kind, for the earlier manifest at this path."""
        kinds = {"corrected": self.corrected, "added": self.added, "removed": self.removed}
        return EarlierManifest(
            manifest,
            unchanged=len(self.sides) - len(self.corrected) - len(self.added),
            corrected=len(self.corrected),
            added=len(self.added),
            removed=len(self.removed),
            first={kind: ids[:_NUM_NAMED] for kind, ids in kinds.items()},
        )


def earlier(path: Path, store: RecordStore, asked: UInt64[np.ndarray, " record"]) -> Earlier:
    """What an earlier manifest (its folder, or the file) says of the records of a store.

    Records are known by their content; then, if other fields were corrected, by what they ask, given as hashes; and in
    a manifest that does not say what was asked, by their ids.
    """
    path = path / ROWS if path.is_dir() else path.with_name(ROWS) if path.name == CERTIFICATE else path
    table = read_rows(path)
    known_sides, known_ids = sides_in(table).tolist(), table["id"].to_pylist()
    sides = np.full(len(store), -1)
    ids, hashes = store.column("id").to_pylist(), store.column("sha256").to_pylist()
    left = _Left(known_ids, known_sides)
    own = list(zip(hashes, ids, strict=True))
    left.match(table["sha256"].to_pylist(), own, sides)
    unchanged = sides >= 0
    if "asked" in table.column_names:
        left.match(table["asked"].to_pylist(), list(zip(asked.tolist(), ids, strict=True)), sides)
    else:
        left.match(known_ids, list(zip(ids, ids, strict=True)), sides)
    corrected = np.flatnonzero((sides >= 0) & ~unchanged)
    added = np.flatnonzero(sides < 0)
    return Earlier(
        sides,
        tuple(ids[at] for at in corrected.tolist()),
        tuple(ids[at] for at in added.tolist()),
        tuple(known_ids[row] for row in left.rows),
    )


class _Left:
    """Rows of an earlier manifest that no record was found for yet."""

    def __init__(self, ids: list[str], sides: list[int]) -> None:
        self._ids, self._sides = ids, sides
        self.rows = dict.fromkeys(range(len(ids)))

    def match(self, keys: list[Any], own: list[tuple[Any, str]], sides: Int[np.ndarray, " record"]) -> None:
        """Give each record without a side the side of a row with its key; `own` are keys and ids of the records."""
        rows: dict[Any, dict[str, int]] = {}
        for row in self.rows:
            rows.setdefault(keys[row], {})[self._ids[row]] = row
        free = np.flatnonzero(sides < 0).tolist()
        # Of equal records one may have been dropped: the same id decides before the order does.
        for by_id in (True, False):
            for index in free:
                key, id = own[index]
                found = rows.get(key)
                if sides[index] >= 0 or not found or (by_id and id not in found):
                    continue
                row = found.pop(id if by_id else next(iter(found)))
                sides[index] = self._sides[row]
                del self.rows[row]


def kept_notes(earlier: EarlierManifest | None) -> list[str]:
    """What became of an earlier manifest's records, in one sentence; nothing without an earlier manifest."""
    if earlier is None:
        return []
    counts = {"corrected": earlier.corrected, "added": earlier.added, "removed": earlier.removed}
    named = {
        kind: f" ({ids[0]}{', ...' if len(ids) > 1 else ''})" for kind, ids in earlier.first.items() if ids
    }
    changes = ", ".join(f"{count:,} {kind}{named.get(kind, '')}" for kind, count in counts.items())
    return [f"sides kept from {earlier.manifest}: {earlier.unchanged:,} records unchanged, {changes}"]
