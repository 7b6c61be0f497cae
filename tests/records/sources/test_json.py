import gzip
import json
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunesmith.errors import DataError
from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow
from tunesmith.records.sources import json as json_source
from tunesmith.records.sources.json import Json


def read(tmp_path, content: bytes, **options):
    (tmp_path / "file.json").write_bytes(content)
    return list(Json(path="file.json", **options).rows(tmp_path))


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(json_source, "_CHUNK", 3)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.dictionaries(TEXT, VALUES, max_size=3), min_size=1, max_size=5),
    st.sampled_from([None, 1]),
    st.booleans(),
    st.booleans(),
)
def test_every_array_reads_as_the_standard_library_reads_it(
    tmp_path, small_pieces, rows, indent, ascii, within
):
    whole = {"before": {"n": 1}, "data": rows, "after": "x"} if within else rows
    text = json.dumps(whole, indent=indent, ensure_ascii=ascii).encode()
    assert [row.fields for row in read(tmp_path, text)] == rows


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_byte_order_mark_line_ends_and_gzip_make_no_difference(tmp_path, pack, small_pieces):
    found = read(tmp_path, pack(b'\xef\xbb\xbf[\r\n{"a": "\xf0\x9f\x98\x80"},\r\n{"a": NaN}]\r\n'))
    assert found == [Record("file.json:1", {"a": "😀"}), Record("file.json:2", {"a": None})]


def test_half_a_surrogate_pair_is_left_for_the_preparation_to_refuse(tmp_path, small_pieces):
    assert read(tmp_path, b'[{"a": "\\ud83d\\ude00 \\ud83d"}]')[0].fields == {"a": "😀 \ud83d"}


def test_an_element_that_is_no_object_is_a_bad_row(tmp_path, small_pieces):
    found = read(tmp_path, b'[{"a": 1}, 12345, [1], {"a": 2}]', columns={"b": "a"})
    assert found == [
        Record("file.json:1", {"b": 1}),
        BadRow("file.json:2", "is a number, not an object {...}."),
        BadRow("file.json:3", "is a list, not an object {...}."),
        Record("file.json:4", {"b": 2}),
    ]


def test_the_key_tells_which_of_several_arrays_holds_the_rows(tmp_path):
    content = b'{"tags": ["x"], "data": [{"a": 1}]}'
    assert read(tmp_path, content, key="data") == [Record("file.json:1", {"a": 1})]
    with pytest.raises(
        DataError, match=r"holds several arrays: tags \(.*\), data \(.*\)\. Say which by `key`"
    ):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"[]", "is empty"),
        (b"12", "in line 1: the file is neither an array nor an object"),
        (b'[{"a": 1},\n {"a": }]', r"file\.json: bad JSON in line 2: Expecting value"),
        (b'[{"a": 1}\n\n {"a": 2}]', "in line 3: ',' is wanted, not '{'"),
        (b'[{"a": 1}', "in line 1: ',' is wanted: the file ends too early"),
        (b'[{"a": "x', "the file ends too early|Unterminated string"),
        (b'[{"a": 1}] x', "more text after the end"),
        (b'{"a": 1}\n{"a": 2}\n', "If each line is an object, write `kind: jsonl`"),
        (b'{"a": 1}', r"is an object with no array \(keys: a\)"),
        (b'[{"a": "\xff"}]', "byte 0xff hereabouts is not UTF-8"),
        (b'[{"a": ' + b"9" * 5000 + b"}]", "Exceeds the limit"),
    ],
)
def test_a_file_that_is_no_such_json_says_where_and_why(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, content)


def test_a_missing_key_names_those_that_are_there(tmp_path):
    with pytest.raises(
        DataError,
        match=r"no array under 'rows', but data \(1 element\)\. Say which by `key`, such as `key: data`",
    ):
        read(tmp_path, b'{"data": [1], "n": 2}', key="rows")


def test_bad_json_early_in_a_large_file_is_told_without_reading_it_all(tmp_path):
    content = b'[{"a": 1} {"a": 2},' + b'{"text": "' + b"x" * 20_000 + b'"},' * 1000
    tracemalloc.start()
    with pytest.raises(DataError, match=r"',' is wanted, not '{'"):
        read(tmp_path, content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20


def test_memory_stays_flat_however_long_the_array_is(tmp_path):
    (tmp_path / "file.json").write_bytes(
        b"[" + b",".join([b'{"text": "%s"}' % (b"x" * 20_000)] * 1500) + b"]"
    )
    tracemalloc.start()
    assert sum(1 for _ in Json(path="file.json").rows(tmp_path)) == 1500
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * 2**20


def test_an_endless_value_is_an_error_and_does_not_fill_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(json_source, "LONGEST_ROW", 2**20)
    with pytest.raises(DataError, match=r"one value is longer than 1 MiB"):
        read(tmp_path, b'[{"a": "' + b"x" * 2**23)


def test_all_arrays_of_a_file_are_named_and_the_longest_is_proposed(tmp_path):
    (tmp_path / "f.json").write_text(
        '{"meta": {}, "licenses": [], "rows": [{"a": 1, "b": 2}, {}], "tail": [1]}'
    )
    with pytest.raises(DataError) as caught:
        list(Json(path="f.json").rows(tmp_path))
    assert str(caught.value) == (
        "f.json: holds several arrays: licenses (0 elements), rows (2 elements with a, b), tail (1 element). "
        "Say which by `key`, such as `key: rows`."
    )
    assert len(list(Json(path="f.json", key="rows").rows(tmp_path))) == 2
    with pytest.raises(DataError, match="no array under 'row', but"):
        list(Json(path="f.json", key="row").rows(tmp_path))


def test_a_coco_file_is_told_as_such(tmp_path):
    (tmp_path / "f.json").write_text(
        '{"licenses": [], "images": [{}], "annotations": [{}, {}], "categories": [{}]}'
    )
    with pytest.raises(DataError, match=r"This is COCO's layout, .* task kind detect"):
        list(Json(path="f.json").rows(tmp_path))
