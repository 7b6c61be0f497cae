"""Source `parquet`: columnar files, read a batch of rows at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tunesmith.data.record import Record
from tunesmith.data.sources import BadRow
from tunesmith.data.sources._class_labels import class_names_in, with_class_names
from tunesmith.data.sources._rows import File, FileSource, require_columns
from tunesmith.data.sources._tables import columns_of, readable, rows_at_once, rows_of_batch
from tunesmith.errors import DataError

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_A_LITTLE_AT_ONCE = {"buffer_size": 2**20, "pre_buffer": False}
"""How a file with pictures is read: else all columns of a group of rows, and of the next, are held at once."""


class Parquet(FileSource):
    """Parquet files. Dates and decimals read as text, NaN as null, class labels that the `datasets` library wrote as
    their names; columns of bytes are left out, but for pictures that a task asks about."""

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
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(file.path, **(_A_LITTLE_AT_ONCE if with_bytes else {})) as table:
                names = readable(table.schema_arrow, with_bytes)
                require_columns(file.name, self.columns, names)
                labels = class_names_in(table.schema_arrow)
                labels = {name: labels[name] for name in names if name in labels}
                first = 1
                for batch in table.iter_batches(_rows_at_once(table.metadata, names), columns=names):
                    if labels:
                        named = with_class_names(pa.Table.from_batches([batch]), labels)
                        batch = named.combine_chunks().to_batches()[0]
                    yield from rows_of_batch(file.name, first, batch, self.columns)
                    first += batch.num_rows
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{file.name}: is not a whole Parquet file ({error}).") from error


def _rows_at_once(table: pq.FileMetaData, names: Collection[str]) -> int:
    groups = (table.row_group(index) for index in range(table.num_row_groups))
    columns = (group.column(index) for group in groups for index in range(table.num_columns))
    sizes = (one.total_uncompressed_size for one in columns if one.path_in_schema.split(".")[0] in names)
    return rows_at_once(sum(sizes), table.num_rows)
