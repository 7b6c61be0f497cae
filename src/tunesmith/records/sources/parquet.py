"""Source `parquet`: columnar files, read a batch of rows at a time."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tunesmith.errors import DataError
from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow
from tunesmith.records.sources._arrow_process import UnreadableError, batches_of
from tunesmith.records.sources._class_labels import class_names_in, with_class_names
from tunesmith.records.sources._parquet_process import LEFT_OUT
from tunesmith.records.sources._rows import File, FileSource, refuse_pointer, require_columns
from tunesmith.records.sources._tables import BYTES_AT_ONCE, ROWS_AT_ONCE, columns_of, rows_of_batch

if TYPE_CHECKING:
    import pyarrow as pa


PROGRAM = Path(__file__).with_name("_parquet_process.py")
"""What reads a file in a process of its own."""


class Parquet(FileSource):
    """Parquet files. Dates and decimals read as text, NaN as null, class labels that the `datasets` library wrote as
    their names; columns of bytes are left out, except pictures that a task asks about."""

    kind: Literal["parquet"] = "parquet"

    def rows_of(self, file: File) -> Iterator[Record | BadRow]:
        """One row a row, named `file:number` from 1; DataError if the file is not Parquet or lacks a
        column."""
        return self._rows_of((), file)

    def rows_with_pictures(self, base: Path, fields: tuple[str, ...]) -> Iterator[Record | BadRow]:
        """Rows with bytes, or objects with `bytes` and `path`, in these fields."""
        return self._of_all(base, partial(self._rows_of, columns_of(fields, self.columns)))

    def _rows_of(self, with_bytes: Collection[str], file: File) -> Iterator[Record | BadRow]:
        import pyarrow as pa

        first, left_out, labels = 1, (), None
        for batch in _batches(file, with_bytes):
            if labels is None:
                names = batch.schema.names
                require_columns(file.name, self.columns, names)
                left_out = tuple(json.loads(batch.schema.metadata[LEFT_OUT]))
                found = class_names_in(batch.schema)
                labels = {name: found[name] for name in names if name in found}
            for named in (
                with_class_names(pa.Table.from_batches([batch]), labels).combine_chunks().to_batches()
            ):
                yield from rows_of_batch(file.name, first, named, self.columns, left_out)
            first += batch.num_rows


def _batches(file: File, with_bytes: Collection[str]) -> Iterator[pa.RecordBatch]:
    """The batches of a file, after an empty one for its schema. DataError if the file is damaged."""
    refuse_pointer(file.name, file.path)
    limits = (str(ROWS_AT_ONCE), str(BYTES_AT_ONCE))
    command = [sys.executable, "-P", str(PROGRAM), str(file.path.absolute()), *limits, *with_bytes]
    try:
        yield from batches_of(command)
    except UnreadableError as error:
        raise DataError(
            f"{file.name}: is not a whole Parquet file ({error}). Copy or download it again"
        ) from error
