"""The manifest of a split: which record is on which side, with a checksum of the whole."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Int

from tunesmith.data.sides import Side
from tunesmith.data.store import RecordStore
from tunesmith.errors import DataError, counted
from tunesmith.files import damage, read_json

ROWS = "manifest.parquet"
CERTIFICATE = "manifest.json"
_AT_ONCE = 2**16


def write_rows(folder: Path, store: RecordStore, sides: Int[np.ndarray, "record"]) -> str:
    """Write `manifest.parquet` and return its checksum."""
    ids, hashes = store.column("id"), store.column("sha256")
    words = pa.array([side.word for side in Side]).take(pa.array(sides))
    table = pa.table({"index": pa.array(np.arange(len(sides))), "id": ids, "sha256": hashes, "side": words})
    pq.write_table(table, folder / ROWS)
    return checksum(table)


def checksum(table: pa.Table) -> str:
    """SHA-256 over all rows of a manifest: what it says, whatever the file is written with."""
    total = hashlib.sha256()
    for batch in table.select(["index", "id", "sha256", "side"]).to_batches(_AT_ONCE):
        rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
        total.update("".join("\t".join(map(str, row)) + "\n" for row in rows).encode())
    return total.hexdigest()


def read_certificate(folder: Path) -> dict[str, Any]:
    """What `manifest.json` holds; DataError if it is missing or broken."""
    path = folder / CERTIFICATE
    refuse_changed(path)
    try:
        return dict(read_json(path))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error}). {_again(path)}") from error


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
        told = read_certificate(path.parent).get("checksum")
        if got != told:
            raise DataError(
                f"{path}: its checksum is {got[:12]}, but {CERTIFICATE} says {str(told)[:12]}: it was changed. "
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


def sides_in(table: pa.Table) -> Int[np.ndarray, "record"]:
    """The side of every row."""
    words = pa.array([side.word for side in Side])
    return np.asarray(pc.index_in(table["side"], words).to_numpy(), dtype=np.int64)


def earlier_sides(path: Path, store: RecordStore) -> Int[np.ndarray, "record"]:
    """The sides that an earlier manifest (its folder, or the file) gives to the records of a store, by their
    SHA-256; DataError with counts if a record is unknown to it or missing."""
    path = path / ROWS if path.is_dir() else path.with_name(ROWS) if path.name == CERTIFICATE else path
    table = read_rows(path)
    hashes, known_ids, known_sides = (
        table["sha256"].to_pylist(),
        table["id"].to_pylist(),
        sides_in(table).tolist(),
    )
    left: dict[str, dict[str, int]] = {}
    for sha256, id, side in zip(hashes, known_ids, known_sides, strict=True):
        left.setdefault(sha256, {})[id] = side
    sides = np.full(len(store), -1)
    own = list(zip(store.column("sha256").to_pylist(), store.column("id").to_pylist(), strict=True))
    # Of equal records one may have been dropped: the same id decides before the order does.
    for index, (sha256, id) in enumerate(own):
        sides[index] = left.get(sha256, {}).pop(id, -1)
    for index in np.flatnonzero(sides < 0).tolist():
        others = left.get(own[index][0])
        if others:
            sides[index] = others.pop(next(iter(others)))
    unknown = [own[index][1] for index in np.flatnonzero(sides < 0).tolist()]
    missing = [id for ids in left.values() for id in ids]
    if unknown or missing:
        raise DataError(
            f"data.split.manifest: {path} is of other data: {_some(unknown)} of the data are not in it, "
            f"{_some(missing)} in it are not in the data. "
            "Give the data that it was made from, or leave `manifest` out."
        )
    return sides


def _some(ids: list[str]) -> str:
    return (
        f"{counted(len(ids), 'record')} ({', '.join(ids[:3])}{', ...' if len(ids) > 3 else ''})"
        if ids
        else "0 records"
    )
