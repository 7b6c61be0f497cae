from __future__ import annotations

import sys

import pytest

from tunesmith.records.sources._arrow_process import UnreadableError, batches_of

WRITES = (
    "import os, sys\nimport pyarrow as pa\n"
    "with pa.ipc.new_stream(sys.stdout.buffer, pa.schema([('n', pa.int64())])) as stream:\n"
    "    for n in range(3): stream.write_batch(pa.record_batch({'n': [n]}))\n"
)


def numbers(ending: str, into: list[int]) -> None:
    for batch in batches_of([sys.executable, "-c", WRITES + ending]):
        into += batch["n"].to_pylist()


def test_the_batches_come_in_order_after_an_empty_one_for_the_schema() -> None:
    batches = list(batches_of([sys.executable, "-c", WRITES]))
    assert [batch["n"].to_pylist() for batch in batches] == [[], [0], [1], [2]]


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        ("print('first\\nwhy', file=sys.stderr); sys.exit(3)", "^why$"),
        ("sys.stdout.flush(); os.abort()", "^reading it ends with signal 6"),
    ],
)
def test_what_ends_the_process_is_an_error_after_what_could_be_read(ending: str, reason: str) -> None:
    read: list[int] = []
    with pytest.raises(UnreadableError, match=reason):
        numbers(ending, read)
    assert read == [0, 1, 2]
