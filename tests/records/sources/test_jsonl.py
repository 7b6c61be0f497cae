import gzip
import json
import tracemalloc
from pathlib import Path

import pytest

from tunesmith.errors import DataError
from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow
from tunesmith.records.sources.jsonl import Jsonl


def read(tmp_path: Path, content: bytes, **settings) -> list[Record | BadRow]:
    (tmp_path / "file.jsonl").write_bytes(content)
    return list(Jsonl(path="file.jsonl", **settings).rows(tmp_path))


def test_records_are_named_by_file_and_line_and_blank_lines_count(tmp_path):
    found = read(tmp_path, b'{"a": 1}\n\n{"a": 2}')
    assert found == [Record("file.jsonl:1", {"a": 1}), Record("file.jsonl:3", {"a": 2})]


@pytest.mark.parametrize(
    "text", ["emoji 👩‍🚀", "مرحبا بالعالم", "line\u2028separator", "tab\tand\nnewline", "ｆｕｌｌ"]
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_text_of_any_script_comes_through_unchanged_also_from_gzip(tmp_path, text, pack):
    line = json.dumps({"text": text}, ensure_ascii=False).encode()
    assert read(tmp_path, pack(line)) == [Record("file.jsonl:1", {"text": text})]


def test_byte_order_mark_and_windows_line_ends_are_no_part_of_the_data(tmp_path):
    found = read(tmp_path, b'\xef\xbb\xbf{"a": "x"}\r\n{"a": "y"}\r\n')
    assert [row.fields for row in found] == [{"a": "x"}, {"a": "y"}]


def test_nan_is_a_missing_value_and_not_a_text(tmp_path):
    assert read(tmp_path, b'{"a": NaN}')[0].fields == {"a": None}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"a": 1', "bad JSON at column 8: Expecting ',' delimiter."),
        (b"hello", "bad JSON at column 1: Expecting value."),
        (b'"hello"', "is a text, not an object {...}."),
        (b"12", "is a number, not an object {...}."),
        (b"null", "is null, not an object {...}."),
        (b'{"a": "\xff"}', "byte 0xff at column 8 is not UTF-8."),
        (b'{"a": ' + b"9" * 5000 + b"}", "bad JSON: Exceeds the limit"),
        (b'{"a": ' + b"[" * 100_000, "bad JSON: objects and lists are nested too deep"),
    ],
)
def test_a_bad_line_is_named_with_what_is_wrong_and_the_next_one_is_read(tmp_path, line, why):
    bad, good = read(tmp_path, line + b'\n{"a": 1}\n')
    assert isinstance(bad, BadRow)
    assert bad.where == "file.jsonl:1"
    assert bad.why.startswith(why)
    assert good == Record("file.jsonl:2", {"a": 1})


def test_columns_are_renamed_and_a_missing_one_is_a_bad_row_with_a_suggestion(tmp_path):
    good, bad = read(tmp_path, b'{"body": "x", "n": 1}\n{"bodi": "y"}', columns={"text": "body"})
    assert good.fields == {"text": "x", "n": 1}
    assert bad == BadRow("file.jsonl:2", "has no column 'body' (it has bodi). Did you mean 'bodi'?")


@pytest.mark.parametrize("content", [b"", b"\n \r\n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
def test_an_empty_file_is_an_error(tmp_path, content):
    with pytest.raises(DataError, match=r"file\.jsonl: is empty: it holds no rows\."):
        read(tmp_path, content)


@pytest.mark.parametrize("content", [b'[{"a": 1}]', b"[\n {}\n]"])
def test_a_json_array_is_pointed_to_the_right_kind(tmp_path, content):
    with pytest.raises(DataError, match=r"is a JSON array, not JSON Lines. Write `kind: json`"):
        read(tmp_path, content)


def test_utf16_is_told_as_such(tmp_path):
    with pytest.raises(DataError, match=r"is UTF-16, not UTF-8. Save it as UTF-8"):
        read(tmp_path, '{"a": 1}'.encode("utf-16"))


def test_a_cut_gzip_file_is_an_error_and_not_a_short_data_set(tmp_path):
    packed = gzip.compress(b'{"a": 1}\n' * 10_000)
    with pytest.raises(DataError, match=r"cannot be read to its end .* Is the file whole"):
        read(tmp_path, packed[: len(packed) // 2])


def test_one_endless_line_is_an_error_and_does_not_fill_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("tunesmith.records.sources.jsonl.LONGEST_ROW", 2**20)
    with pytest.raises(DataError, match=r"file\.jsonl:2: is longer than \d+ MiB"):
        read(tmp_path, b'{"a": 1}\n{"a": "' + b"x" * 2**21)


def test_memory_stays_flat_however_long_the_file_is(tmp_path):
    (tmp_path / "file.jsonl").write_bytes(b'{"text": "%s"}\n' % (b"x" * 20_000) * 1000)
    tracemalloc.start()
    assert sum(1 for _ in Jsonl(path="file.jsonl").rows(tmp_path)) == 1000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20
