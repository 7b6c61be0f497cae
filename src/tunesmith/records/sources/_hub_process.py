"""The program that reads a local folder for `hub`, in a process of its own: a damaged file can end the process.

    python -m tunesmith.records.sources._hub_process SETTINGS FOLDER [COLUMN ...]

SETTINGS are those of the source as JSON, FOLDER is what its path is relative to. Writes the rows to standard output as
an Arrow stream: the columns that hold no bytes, and the named ones.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection
from pathlib import Path

from tunesmith.errors import DataError
from tunesmith.records.sources._parquet_process import FAULT
from tunesmith.records.sources.hub import Hub


def main(settings: str, base: str, with_bytes: Collection[str]) -> None:
    """Write the stream."""
    import datasets
    import pyarrow as pa

    datasets.disable_progress_bars()
    batches = Hub(**json.loads(settings)).batches(Path(base), with_bytes)
    first = next(batches)
    with pa.ipc.new_stream(sys.stdout.buffer, first.schema) as stream:
        for batch in batches:
            stream.write_batch(batch)


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2], sys.argv[3:])
    except DataError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        sys.exit(FAULT)
