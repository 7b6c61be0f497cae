"""Record batches from a process of its own: reading a damaged file with Arrow can end the process that reads it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

_LONGEST_REASON = 300


class UnreadableError(Exception):
    """Says why the process could not read everything."""


def batches_of(command: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The batches that a program writes to its standard output as an Arrow stream, after an empty one for the schema.
    UnreadableError with the last line of its standard error if it fails, also if a signal ends it."""
    import pyarrow as pa

    with (
        TemporaryFile() as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        assert process.stdout is not None
        fault = ""
        try:
            with pa.ipc.open_stream(process.stdout) as stream:
                yield pa.RecordBatch.from_pylist([], schema=stream.schema)
                yield from stream
        except (pa.ArrowInvalid, OSError) as error:
            fault = str(error)
        except GeneratorExit:
            process.kill()
            raise
        code = process.wait()
        if code or fault:
            errors.seek(0)
            lines = errors.read().decode(errors="replace").strip().splitlines()
            reason = lines[-1] if lines else fault
            if code < 0:
                reason = f"reading it ends with signal {-code}{f': {reason}' if reason else ''}"
            raise UnreadableError(reason[:_LONGEST_REASON])
