import contextlib
import random
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tunesmith.errors import DataError
from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow, parquet
from tunesmith.records.sources.parquet import PROGRAM, Parquet


def test_rows_are_numbered_over_batches_and_nan_is_missing(tmp_path):
    count = 2500
    table = pa.table(
        {"text": ["👋"] * count, "score": [float("nan")] + [1.5] * (count - 1), "raw": [b"x"] * count}
    )
    pq.write_table(table, tmp_path / "file.parquet", row_group_size=900)
    rows = list(Parquet(path="file.parquet", columns={"question": "text"}).rows(tmp_path))
    assert rows[0] == Record("file.parquet:1", {"score": None, "question": "👋"})
    assert rows[-1] == Record(f"file.parquet:{count}", {"score": 1.5, "question": "👋"})
    assert len({row.id for row in rows}) == count


def test_a_missing_column_is_told_before_any_row(tmp_path):
    pq.write_table(pa.table({"text": ["x"]}), tmp_path / "file.parquet")
    with pytest.raises(
        DataError, match=r"file\.parquet: has no column 'texts' \(it has text\)\. Did you mean 'text'"
    ):
        list(Parquet(path="file.parquet", columns={"a": "texts"}).rows(tmp_path))


@pytest.mark.parametrize("content", [b"", b"not parquet at all", b"PAR1 cut"])
def test_a_broken_file_is_told_as_such(tmp_path, content):
    (tmp_path / "file.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"file\.parquet: is not a whole Parquet file"):
        list(Parquet(path="file.parquet").rows(tmp_path))


def test_a_table_without_rows_is_empty(tmp_path):
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "file.parquet")
    with pytest.raises(DataError, match="is empty"):
        list(Parquet(path="file.parquet").rows(tmp_path))


def test_bytes_of_pictures_come_through_if_they_are_asked_for(tmp_path):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    image = [{"bytes": b"x" * 10, "path": None}, {"bytes": None, "path": "a.png"}, None]
    table = pa.table(
        {"image": pa.array(image, kind), "raw": [b"a", b"b", b"c"], "sound": [b""] * 3, "n": [1, 2, 3]}
    )
    pq.write_table(table, tmp_path / "file.parquet")
    source = Parquet(path="file.parquet", columns={"picture": "image"})
    rows = list(source.rows_with_pictures(tmp_path, ("picture", "raw")))
    assert [row.fields["picture"] for row in rows] == image
    assert rows[0].fields.keys() == {"picture", "raw", "n"}
    assert source.beside(tmp_path, "sub/file.parquet:3") == "sub"


def test_large_pictures_are_read_a_few_at_a_time(tmp_path):
    import tracemalloc

    import numpy as np

    chance = np.random.default_rng(0)
    with pq.ParquetWriter(tmp_path / "file.parquet", pa.schema([("image", pa.binary())])) as writer:
        writer.write_table(pa.table({"image": [chance.bytes(2**20) for _ in range(64)]}), row_group_size=4)
    tracemalloc.start()
    rows = Parquet(path="file.parquet").rows_with_pictures(tmp_path, ("image",))
    before, most = pa.total_allocated_bytes(), 0
    for row in rows:
        assert len(row.fields["image"]) == 2**20
        most = max(most, pa.total_allocated_bytes() - before)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * 2**20
    assert most < 50 * 2**20, most


def test_a_date_that_no_calendar_has_is_a_bad_row(tmp_path):
    days = pa.array([1, 2**30], pa.int32()).cast(pa.date32())
    pq.write_table(pa.table({"text": ["a", "b"], "day": days}), tmp_path / "file.parquet")
    first, second = Parquet(path="file.parquet").rows(tmp_path)
    assert first == Record("file.parquet:1", {"text": "a", "day": "1970-01-02"})
    assert second == BadRow(
        "file.parquet:2",
        "column 'day' holds a date32[day] that is no date or time between the years 1 and 9999.",
    )


def test_columns_of_bytes_that_were_left_out_are_known(tmp_path):
    pq.write_table(pa.table({"text": ["a"], "image": [b"x"]}), tmp_path / "file.parquet")
    (row,) = Parquet(path="file.parquet").rows(tmp_path)
    assert row.left_out == ("image",)
    (row,) = Parquet(path="file.parquet").rows_with_pictures(tmp_path, ("image",))
    assert (row.left_out, row.fields["image"]) == ((), b"x")


def test_a_file_that_ends_the_process_that_reads_it_is_a_broken_file(tmp_path, monkeypatch):
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "file.parquet")
    (tmp_path / "_parquet_process.py").write_text("import os\nos.abort()\n")
    monkeypatch.setattr(parquet, "PROGRAM", tmp_path / "_parquet_process.py")
    with pytest.raises(
        DataError, match=r"file\.parquet: is not a whole Parquet file \(reading it ends with signal 6"
    ):
        list(Parquet(path="file.parquet").rows(tmp_path))


@pytest.mark.parametrize("seed", range(5))
def test_a_file_with_flipped_bytes_is_read_or_refused(tmp_path, seed):
    pq.write_table(pa.table({"text": ["abc"] * 50, "label": list(range(50))}), tmp_path / "file.parquet")
    content, chance = bytearray((tmp_path / "file.parquet").read_bytes()), random.Random(seed)
    for _ in range(3):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    (tmp_path / "file.parquet").write_bytes(content)
    with contextlib.suppress(DataError):
        assert all(isinstance(row, Record | BadRow) for row in Parquet(path="file.parquet").rows(tmp_path))


def test_a_text_that_many_rows_share_is_decoded_in_small_slices(tmp_path):
    texts = ["x" * 300_000] * 200 + ["y", None]
    pq.write_table(pa.table({"text": texts}), tmp_path / "f.parquet")
    command = [sys.executable, "-P", str(PROGRAM), str(tmp_path / "f.parquet"), "1024", str(2**20)]
    with pa.ipc.open_stream(subprocess.run(command, capture_output=True, check=True).stdout) as stream:
        batches = list(stream)
    assert max(batch.nbytes for batch in batches) <= 2**20 + 1000
    assert [value for batch in batches for value in batch["text"].to_pylist()] == texts


def test_a_pointer_of_git_lfs_is_named_as_such(tmp_path):
    (tmp_path / "f.parquet").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    with pytest.raises(DataError, match=r"^f\.parquet: is a pointer of Git LFS, .*git lfs pull"):
        list(Parquet(path="f.parquet").rows(tmp_path))
