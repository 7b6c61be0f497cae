"""Source `parquet`: columnar files, read a batch of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from tunesmith.data.record import Record
from tunesmith.data.sources import BadRow
from tunesmith.data.sources._rows import File, FileSource, require_columns
from tunesmith.data.sources._tables import readable, rows_of_batch
from tunesmith.errors import DataError

_ROWS_AT_ONCE = 1024


class Parquet(FileSource):
    """Parquet files. Dates and decimals read as text, NaN as null; columns of bytes are left out."""

    kind: Literal["parquet"] = "parquet"

    def rows_of(self, file: File) -> Iterator[Record | BadRow]:
        """One row a row, named `file:number` from 1; DataError if the file is not Parquet or lacks a
        column."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(file.path) as table:
                names = readable(table.schema_arrow)
                require_columns(file.name, self.columns, names)
                first = 1
                for batch in table.iter_batches(_ROWS_AT_ONCE, columns=names):
                    yield from rows_of_batch(file.name, first, batch, self.columns)
                    first += batch.num_rows
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{file.name}: is not a whole Parquet file ({error}).") from error
