import numpy as np
import pytest

from tunesmith.data.manifest import ROWS, earlier_sides, read_certificate, read_rows, sides_in, write_rows
from tunesmith.data.sides import Side
from tunesmith.data.store import RecordStore, write_store
from tunesmith.errors import DataError
from tunesmith.files import write_json

SIDES = np.array([Side.TRAIN, Side.TEST, Side.VALIDATION, Side.DROPPED])


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
    write_json(folder / "manifest.json", {"checksum": write_rows(folder, store, SIDES)})
    return folder


def test_sides_come_back_as_they_were_written(made):
    assert sides_in(read_rows(made / ROWS)).tolist() == SIDES.tolist()


@pytest.mark.parametrize("name", ["", "manifest.parquet", "manifest.json"])
def test_records_keep_their_sides_whatever_their_order_and_ids(made, tmp_path, name):
    other = store_of(tmp_path / "other", ("f:4", "b"), ("new:9", "c"), ("f:2", "b"), ("new:1", "a"))
    assert earlier_sides(made / name, other).tolist() == [
        Side.DROPPED,
        Side.VALIDATION,
        Side.TEST,
        Side.TRAIN,
    ]


def test_unknown_and_missing_records_are_counted_and_named(made, tmp_path):
    other = store_of(tmp_path / "other", ("f:1", "a"), ("g:1", "x"), ("g:2", "y"), ("f:2", "b"), ("f:4", "b"))
    message = r"2 records \(g:1, g:2\) of the data are not in it, 1 record \(f:3\) in it are not in the data"
    with pytest.raises(DataError, match=message):
        earlier_sides(made, other)


def test_a_manifest_that_was_changed_is_refused(made):
    store = RecordStore(made / "records.arrow")
    write_rows(made, store, SIDES[::-1])
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
