"""The program that reads a Parquet file for `parquet`, in a process of its own: a damaged file can end the process.

    python -P _parquet_process.py FILE ROWS BYTES [COLUMN ...]

Writes the file's columns to standard output as an Arrow stream: those that hold no bytes, and the named ones. A batch
has at most ROWS rows, fewer if they are more than BYTES bytes by the file's own account. The schema's metadata has the
names of the columns that were left out. It imports nothing but pyarrow, so that it starts fast.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterator
from typing import Any

LEFT_OUT = b"tunesmith.left_out"
"""Key of the schema's metadata under which the names of the columns stand that are not in the stream, as JSON."""
FAULT = 3
"""Exit code if the file cannot be read; standard error then says why."""


def holds_bytes(type: Any) -> bool:
    """True for an Arrow type of bytes, and for lists and objects of such."""
    import pyarrow.types as types

    if isinstance(type, types.lib.BaseExtensionType):
        return holds_bytes(type.storage_type)
    if types.is_nested(type):
        return any(holds_bytes(type.field(index).type) for index in range(type.num_fields))
    if types.is_dictionary(type):
        return holds_bytes(type.value_type)
    tests = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view)
    return any(test(type) for test in tests)


def slices(batch: Any, most_bytes: int) -> Iterator[Any]:
    """The batch in slices of at most so many bytes after dictionaries are decoded, or of a single row."""
    if batch.num_rows < 2 or sum(map(_decoded_bytes, batch.columns)) <= most_bytes:
        yield batch
        return
    half = batch.num_rows // 2
    yield from slices(batch.slice(0, half), most_bytes)
    yield from slices(batch.slice(half), most_bytes)


def _decoded_bytes(column: Any) -> int:
    import pyarrow.compute as pc
    import pyarrow.types as types

    if not types.is_dictionary(column.type):
        return int(column.nbytes)
    return int(pc.sum(pc.binary_length(column.dictionary).take(column.indices)).as_py() or 0)


def main(path: str, most_rows: int, most_bytes: int, with_bytes: Collection[str]) -> None:
    """Write the stream."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    # A file with pictures is read a little at a time: else all columns of a group of rows are held at once.
    options = {"buffer_size": 2**20, "pre_buffer": False} if with_bytes else {}
    # A text that many rows share is one entry of a dictionary, and decoding it makes as many copies.
    schema = pq.read_schema(path)
    texts = [field.name for field in schema if field.type in (pa.string(), pa.binary())]
    with pq.ParquetFile(path, read_dictionary=texts, **options) as table:
        metadata = table.metadata
        names = [one.name for one in schema if one.name in with_bytes or not holds_bytes(one.type)]
        left_out = [name for name in schema.names if name not in names]
        groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
        columns = [group.column(index) for group in groups for index in range(metadata.num_columns)]
        sizes = [one.total_uncompressed_size for one in columns if one.path_in_schema.split(".")[0] in names]
        rows = max(1, min(most_rows, most_bytes * metadata.num_rows // max(1, sum(sizes))))
        told = pa.schema([schema.field(schema.get_field_index(name)) for name in names])
        told = told.with_metadata({**(schema.metadata or {}), LEFT_OUT: json.dumps(left_out).encode()})
        with pa.ipc.new_stream(sys.stdout.buffer, told) as stream:
            for batch in table.iter_batches(rows, columns=names):
                try:
                    batch.validate(full=True)
                except pa.ArrowInvalid as error:
                    # Text that is not UTF-8 makes bad rows of those that hold it.
                    if "UTF8" not in str(error):
                        raise
                for part in slices(batch, most_bytes):
                    arrays = [
                        column.dictionary_decode() if name in texts else column
                        for name, column in zip(names, part.columns, strict=True)
                    ]
                    stream.write_batch(pa.record_batch(arrays, schema=told))


if __name__ == "__main__":
    try:
        main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(FAULT)
