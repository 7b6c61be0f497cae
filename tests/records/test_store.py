import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.errors import DataError
from tunesmith.images.picture import Picture
from tunesmith.images.roots import ImageRoots
from tunesmith.records.record import Record
from tunesmith.records.store import RecordStore, Selection, canonical, write_store

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def write(path, records):
    with write_store(path) as writer:
        for record in records:
            writer.add(record.id, record.sha256, canonical(record.fields))


def test_records_come_back_by_index_over_batches(tmp_path):
    records = [Record(f"f:{number}", {"n": number, "text": "👋 שלום"}) for number in range(2500)]
    write(tmp_path / "r.arrow", records)
    store = RecordStore(tmp_path / "r.arrow")
    assert list(store) == records
    assert (store[-1], store[1023:1026]) == (records[-1], records[1023:1026])
    assert [(id, sha) for id, sha, _ in store.stored()] == [(record.id, record.sha256) for record in records]
    with pytest.raises(IndexError):
        store[2500]


def test_a_selection_reads_only_its_own_records(tmp_path):
    records = [Record(f"f:{number}", {"n": number}) for number in range(10)]
    write(tmp_path / "r.arrow", records)
    chosen = Selection(RecordStore(tmp_path / "r.arrow"), np.array([1, 8]))
    assert (len(chosen), list(chosen), chosen[-1], chosen[:1]) == (
        2,
        [records[1], records[8]],
        records[8],
        [records[1]],
    )


@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_what_is_stored_is_what_the_record_hash_is_of(fields):
    assert hashlib.sha256(canonical(fields).encode()).hexdigest() == Record("x", fields).sha256


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("\ud83d", r"holds half of a surrogate pair \(\\ud83d\), which is no character"),
        (float("inf"), "holds an infinite number"),
        (b"bytes", "is not JSON: .*bytes"),
    ],
)
def test_what_no_json_file_can_hold_is_told_in_words(value, message):
    with pytest.raises(ValueError, match=message):
        canonical({"a": value})


def test_no_file_appears_when_writing_fails(tmp_path):
    with pytest.raises(TypeError, match="bytes"), write_store(tmp_path / "r.arrow") as writer:
        writer.add("a", "b", b"no text" + "{}")  # type: ignore[operator]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [None, b"", b"ARROW1 cut"])
def test_a_missing_or_broken_store_says_to_prepare_again(tmp_path, content):
    if content is not None:
        (tmp_path / "r.arrow").write_bytes(content)
    with pytest.raises(
        DataError, match=r"r\.arrow: cannot be read .* Delete the folder .* and prepare the data again"
    ):
        RecordStore(tmp_path / "r.arrow")


def test_pictures_are_stored_and_hashed_as_json_and_come_back_as_what_the_reader_makes_of_it(tmp_path):
    picture = Picture("a.jpg", "ab" * 32, 4, 3, "0f" * 8)
    record = Record("f:1", {"image": picture, "more": [picture]})
    write(tmp_path / "r.arrow", [record])
    (row,) = RecordStore(tmp_path / "r.arrow").stored()
    assert hashlib.sha256(row[2].encode()).hexdigest() == row[1] == record.sha256
    places = ImageRoots(tmp_path, tmp_path, ((0, "data"),))
    store = RecordStore(tmp_path / "r.arrow", places.fields)
    assert store[-1] == record
    assert store[0].fields["image"].file == tmp_path / "data/a.jpg"


def test_what_is_nested_too_deep_to_be_written_is_told():
    deep = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(ValueError, match="nested too deep"):
        canonical(deep)
