import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tunesmith.records.sources import _parquet_process as process


def streamed(path, *arguments):
    command = [sys.executable, "-P", process.__file__, str(path), *arguments]
    return subprocess.run(command, capture_output=True, check=False)


@pytest.mark.parametrize(("arguments", "names", "left_out"), [((), ["a"], ["b"]), (("b",), ["a", "b"], [])])
def test_the_stream_has_the_columns_that_are_asked_for_in_small_batches(tmp_path, arguments, names, left_out):
    pq.write_table(pa.table({"a": range(10), "b": [b"x"] * 10}), tmp_path / "f.parquet")
    done = streamed(tmp_path / "f.parquet", "4", str(2**20), *arguments)
    with pa.ipc.open_stream(done.stdout) as stream:
        batches = list(stream)
        assert (stream.schema.names, json.loads(stream.schema.metadata[process.LEFT_OUT])) == (
            names,
            left_out,
        )
    assert [batch.num_rows for batch in batches] == [4, 4, 2]


def test_a_file_that_cannot_be_read_is_told_in_a_line(tmp_path):
    (tmp_path / "f.parquet").write_bytes(b"no parquet")
    done = streamed(tmp_path / "f.parquet", "4", "1000")
    assert done.returncode == process.FAULT
    assert done.stderr.decode().startswith("ArrowInvalid: ")
