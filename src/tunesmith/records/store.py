"""Records on disk as one Arrow file, read by index through a memory map."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from tunesmith.errors import DataError
from tunesmith.files import whole_file
from tunesmith.images.picture import as_json
from tunesmith.records.record import Record

_SCHEMA = pa.schema([("id", pa.string()), ("sha256", pa.string()), ("json", pa.large_string())])
_MOST_ROWS = 1024
"""Most rows in a batch of the file."""
_MOST_CHARACTERS = 16 * 2**20
"""Characters of JSON after which a batch is written, however few its rows are."""


def canonical(fields: Mapping[str, Any]) -> str:
    """The text of a record's fields of which `Record.sha256` is the hash; ValueError says, in words for the
    user, why they cannot be JSON."""
    try:
        text = json.dumps(
            fields,
            sort_keys=True,
            ensure_ascii=False,
            separators=(",", ":"),
            allow_nan=False,
            default=as_json,
        )
        text.encode()
    except UnicodeEncodeError as error:
        half = ord(error.object[error.start])
        raise ValueError(f"holds half of a surrogate pair (\\u{half:04x}), which is no character.") from error
    except RecursionError as error:
        raise ValueError("holds objects and lists that are nested too deep.") from error
    except (ValueError, TypeError) as error:
        infinite = "Out of range float" in str(error)
        raise ValueError("holds an infinite number." if infinite else f"is not JSON: {error}.") from error
    return text


@contextmanager
def write_store(path: Path) -> Iterator[StoreWriter]:
    """A writer; the file appears under its name when the block ends without an error, or not at all."""
    with (
        whole_file(path) as partial,
        pa.OSFile(str(partial), "wb") as file,
        pa.ipc.new_file(file, _SCHEMA) as ipc,
    ):
        writer = StoreWriter(ipc)
        yield writer
        writer.flush()


class StoreWriter:
    """Writes records one by one."""

    def __init__(self, ipc: pa.RecordBatchFileWriter) -> None:
        self._ipc = ipc
        self._rows: list[tuple[str, str, str]] = []
        self._num_characters = 0

    def add(self, id: str, sha256: str, text: str) -> None:
        """Write one record, its fields as canonical JSON."""
        self._rows.append((id, sha256, text))
        self._num_characters += len(text)
        if len(self._rows) == _MOST_ROWS or self._num_characters >= _MOST_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        """Hand what was gathered to the file."""
        if self._rows:
            columns = zip(zip(*self._rows, strict=True), _SCHEMA, strict=True)
            arrays = [pa.array(column, field.type) for column, field in columns]
            self._ipc.write_batch(pa.record_batch(arrays, schema=_SCHEMA))
            self._rows.clear()
            self._num_characters = 0


class RecordStore(Sequence[Record]):
    """All records of a prepared folder, by index. DataError if the file is missing or broken."""

    def __init__(self, path: Path, fields: Callable[[int, str], dict[str, Any]] | None = None) -> None:
        """`fields` makes the fields of a record of its number and its JSON text, if that needs more than JSON."""
        self._fields = fields or (lambda index, text: dict(json.loads(text)))
        self._path = path
        try:
            self._reader = pa.ipc.open_file(pa.memory_map(str(path)))
            sizes = [
                self._reader.get_batch(index).num_rows for index in range(self._reader.num_record_batches)
            ]
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(
                f"{path}: cannot be read ({error}). Delete the folder {path.parent} "
                "and prepare the data again (`tunesmith prepare` or `run`)."
            ) from error
        self._ends = np.cumsum(sizes, dtype=np.int64)
        self._length = sum(sizes)

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(self._length))]
        index = range(self._length)[index]
        number = int(np.searchsorted(self._ends, index, side="right"))
        batch = self._reader.get_batch(number)
        row = index - int(self._ends[number]) + batch.num_rows
        return Record(batch["id"][row].as_py(), self._fields(index, batch["json"][row].as_py()))

    def stored(self) -> Iterator[tuple[str, str, str]]:
        """Id, written hash and JSON text of every record, in order."""
        # Not through the memory map, whose pages would all stay counted as this process's memory.
        with pa.OSFile(str(self._path), "rb") as file, pa.ipc.open_file(file) as reader:
            for index in range(reader.num_record_batches):
                columns = (column.to_pylist() for column in reader.get_batch(index).columns)
                yield from zip(*columns, strict=True)

    def column(self, name: str) -> pa.ChunkedArray:
        """All values of a column: `id`, `sha256` or `json`."""
        count = self._reader.num_record_batches
        chunks = [self._reader.get_batch(index).column(name) for index in range(count)]
        return pa.chunked_array(chunks, _SCHEMA.field(name).type)


class Selection(Sequence[Record]):
    """Some records of a store, in the order of the store, read when they are asked for."""

    def __init__(self, store: RecordStore, indices: Int[np.ndarray, " record"]) -> None:
        self._store = store
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        if isinstance(index, slice):
            return [self._store[int(one)] for one in self._indices[index]]
        return self._store[int(self._indices[index])]
