import numpy as np
import pyarrow.parquet as pq
import pytest

from tunesmith.errors import DataError
from tunesmith.records.store import RecordStore, write_store
from tunesmith.runs.manifest import MANIFEST, Manifest
from tunesmith.split.manifest import (
    ROWS,
    earlier,
    kept_notes,
    read_certificate,
    read_rows,
    sides_in,
    write_rows,
)
from tunesmith.split.sides import Side

SIDES = np.array([Side.TRAIN, Side.TEST, Side.VALIDATION, Side.DROPPED])
ASKED = np.array([11, 12, 13, 12], np.uint64)


def store_of(folder, *rows):
    folder.mkdir(exist_ok=True)
    with write_store(folder / "records.arrow") as writer:
        for id, sha256 in rows:
            writer.add(id, sha256, "{}")
    return RecordStore(folder / "records.arrow")


@pytest.fixture
def made(tmp_path):
    """A manifest whose fourth record was dropped for being the second one's twin."""
    folder = tmp_path / "made"
    store = store_of(folder, ("f:1", "a"), ("f:2", "b"), ("f:3", "c"), ("f:4", "b"))
    MANIFEST.write(folder, Manifest(write_rows(folder, store, SIDES, ASKED), {}))
    return folder


def test_sides_come_back_as_they_were_written(made):
    assert sides_in(read_rows(made / ROWS)).tolist() == SIDES.tolist()


@pytest.mark.parametrize("name", ["", "manifest.parquet", "manifest.json"])
def test_records_keep_their_sides_whatever_their_order_and_ids(made, tmp_path, name):
    other = store_of(tmp_path / "other", ("f:4", "b"), ("new:9", "c"), ("f:2", "b"), ("new:1", "a"))
    found = earlier(made / name, other, np.zeros(4, np.uint64))
    assert found.sides.tolist() == [Side.DROPPED, Side.VALIDATION, Side.TEST, Side.TRAIN]
    assert found.summary("m").unchanged == 4


def test_corrected_added_and_removed_records_are_told_apart_and_counted(made, tmp_path):
    other = store_of(
        tmp_path / "other", ("g:7", "a"), ("g:8", "new"), ("g:9", "b2"), ("g:1", "b"), ("g:2", "z")
    )
    found = earlier(made, other, np.array([11, 99, 12, 12, 98], np.uint64))
    assert found.sides.tolist() == [Side.TRAIN, -1, Side.DROPPED, Side.TEST, -1]
    assert (found.corrected, found.added, found.removed) == (("g:9",), ("g:8", "g:2"), ("f:3",))
    assert kept_notes(found.summary("m")) == [
        "sides kept from m: 2 records unchanged, 1 corrected (g:9), 2 added (g:8, ...), 1 removed (f:3)"
    ]
    assert kept_notes(None) == []


def test_a_manifest_that_does_not_say_what_was_asked_knows_corrected_records_by_their_ids(made, tmp_path):
    old = pq.read_table(made / ROWS).drop_columns(["asked"])
    pq.write_table(old, tmp_path / ROWS)
    other = store_of(tmp_path / "other", ("f:1", "a"), ("f:2", "b2"), ("f:9", "c"))
    found = earlier(tmp_path, other, np.zeros(3, np.uint64))
    assert found.sides.tolist() == [Side.TRAIN, Side.TEST, Side.VALIDATION]
    assert (found.corrected, found.added, found.removed) == (("f:2",), (), ("f:4",))


def test_a_manifest_that_was_changed_is_refused(made):
    store = RecordStore(made / "records.arrow")
    write_rows(made, store, SIDES[::-1], ASKED)
    with pytest.raises(
        DataError,
        match=r"manifest\.parquet: its checksum is \w{12}, but manifest\.json says \w{12}: it was changed",
    ):
        read_rows(made / ROWS)


@pytest.mark.parametrize("content", [None, b"", b"no parquet"])
def test_a_broken_manifest_is_told_as_such(tmp_path, content):
    if content is not None:
        (tmp_path / ROWS).write_bytes(content)
    with pytest.raises(DataError, match=r"manifest\.parquet: is not a readable manifest"):
        read_rows(tmp_path / ROWS)


@pytest.mark.parametrize("content", [None, "", "{", "[1]"])
def test_a_broken_certificate_says_to_prepare_again(tmp_path, content):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(
        DataError, match=r"manifest\.json: cannot be read .* Delete the folder .* and prepare the data again"
    ):
        read_certificate(tmp_path)
