import csv
import gzip
import io
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tunesmith.errors import DataError
from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow
from tunesmith.records.sources import csv as csv_source
from tunesmith.records.sources.csv import Csv


def read(tmp_path, content: bytes, **options):
    (tmp_path / "file.csv").write_bytes(content)
    return list(Csv(path="file.csv", **options).rows(tmp_path))


CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5), st.sampled_from(",;\t"))
def test_whatever_the_standard_library_writes_is_read_back(tmp_path, rows, delimiter):
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    found = read(tmp_path, text.getvalue().encode(), delimiter=delimiter)
    assert [tuple(row.fields.values()) for row in found] == rows


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_byte_order_mark_windows_line_ends_and_gzip_make_no_difference(tmp_path, pack):
    found = read(tmp_path, pack(b"\xef\xbb\xbftext,label\r\n\xf0\x9f\x98\x80,1\r\n"))
    assert found == [Record("file.csv:2", {"text": "😀", "label": "1"})]


def test_a_row_over_several_lines_is_named_by_its_first(tmp_path):
    found = read(tmp_path, b'a,b\n"1\n2",x\n\n3,y\n')
    assert [(row.id, row.fields["a"]) for row in found] == [("file.csv:2", "1\n2"), ("file.csv:5", "3")]


def test_a_huge_cell_is_read(tmp_path):
    text = b"x" * 1_000_000
    assert read(tmp_path, b"a,b\n" + text + b",1\n")[0].fields["a"] == text.decode()


def test_bad_rows_are_named_and_the_others_are_read(tmp_path):
    content = b'a,b\n1,2\n3\n1,2,3\n"x"y,2\ncaf\xe9,2\n5,6\n'
    assert read(tmp_path, content) == [
        Record("file.csv:2", {"a": "1", "b": "2"}),
        BadRow("file.csv:3", "has 1 cells, but there are 2 columns (a, b)."),
        BadRow("file.csv:4", "has 3 cells, but there are 2 columns (a, b)."),
        BadRow("file.csv:5", f"bad quoting: ',' expected after '\"'. {csv_source._QUOTES}"),
        BadRow("file.csv:6", "byte 0xe9 is not utf-8. Set `encoding`, such as cp1252."),
        Record("file.csv:7", {"a": "5", "b": "6"}),
    ]


def test_a_quote_that_is_never_closed_is_a_bad_row_where_it_opens(tmp_path):
    *_, bad = read(tmp_path, b'a,b\n1,2\n"x,2\n3,4\n')
    assert bad == BadRow("file.csv:3", f"bad quoting: unexpected end of data. {csv_source._QUOTES}")


def test_the_encoding_setting_reads_old_files(tmp_path):
    assert read(tmp_path, b"a\ncaf\xe9\n", encoding="cp1252")[0].fields == {"a": "café"}
    with pytest.raises(ValidationError, match="'utf-9' is no encoding that Python knows"):
        Csv(path="x", encoding="utf-9")


def test_a_file_without_a_header_line_gets_its_names_from_the_settings(tmp_path):
    found = read(tmp_path, b"3,Oil rises\n", header=["label", "title"], columns={"text": "title"})
    assert found == [Record("file.csv:1", {"label": "3", "text": "Oil rises"})]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"file\.csv: is empty"),
        (b"text,label\n", r"file\.csv: is empty"),
        (b"text,text\n1,2\n", r"file\.csv:1: the header names 'text' twice"),
        (
            b"text;label\n1;2\n",
            r"file\.csv:1: the header is one column .* Set data\.source\.delimiter to ';'",
        ),
        (
            b"text\tlabel\n1\t2\n",
            r"file\.csv:1: the header is one column .* Set data\.source\.delimiter to '\\t'",
        ),
        (b'"te"xt,b\n1,2\n', r"file\.csv:1: the header has bad quoting"),
        (b"txt,label\n1,2\n", r"has no column 'text' \(it has txt, label\)\. Did you mean 'txt'\?"),
    ],
)
def test_a_table_that_cannot_be_used_is_told_once(tmp_path, content, message):
    columns = {"body": "text"} if b"txt" in content else {}
    with pytest.raises(DataError, match=message):
        read(tmp_path, content, columns=columns)


SWALLOWED = 'text,label\na,fruit\n"we saw 5,fruit\nb,tool\nc,fruit\nthe one",tool\nd,tool\n'


def test_a_lone_quote_that_swallows_rows_is_refused_with_its_line_and_can_be_read_as_a_character(tmp_path):
    (tmp_path / "f.csv").write_text(SWALLOWED)
    rows = list(Csv(path="f.csv").rows(tmp_path))
    assert [type(row).__name__ for row in rows] == ["Record", "BadRow", "Record"]
    assert rows[1].where == "f.csv:3"
    assert re.search(r"spans 4 lines, and each looks like a row .*data\.source\.quoting to none", rows[1].why)
    read = list(Csv(path="f.csv", quoting="none").rows(tmp_path))
    assert [row.fields["text"] for row in read] == ["a", '"we saw 5', "b", "c", 'the one"', "d"]


@pytest.mark.parametrize(
    "cell", ['"Dear all,\nI am well, and\nso, bye"', '"a,\nb"', '"one\n\ntwo, three"', '"1, 2\n3, 4"']
)
def test_text_with_line_breaks_and_commas_is_no_swallowed_row(tmp_path, cell):
    (tmp_path / "f.csv").write_text(f"text,label\nx,fruit\n{cell},fruit\ny,tool\n")
    assert len([row for row in Csv(path="f.csv").rows(tmp_path) if isinstance(row, Record)]) == 3


def test_utf16_is_read_where_it_is_named(tmp_path):
    (tmp_path / "f.csv").write_text("text\né\n", encoding="utf-16")
    assert [row.fields for row in Csv(path="f.csv", encoding="utf-16").rows(tmp_path)] == [{"text": "é"}]
    with pytest.raises(DataError, match="encoding: utf-16"):
        list(Csv(path="f.csv").rows(tmp_path))


def test_the_line_in_which_excel_states_the_delimiter_is_no_header(tmp_path):
    expected = [{"text": "a", "label": "b"}]
    for mark in ",;\t":
        content = f"sep={mark}\r\ntext{mark}label\r\na{mark}b\r\n".encode()
        assert [row.fields for row in read(tmp_path, content, delimiter=mark)] == expected
    with pytest.raises(
        DataError, match=r"file\.csv:1: states the delimiter ';'\. Set data\.source\.delimiter"
    ):
        read(tmp_path, b"sep=;\r\ntext;label\r\na;b\r\n")
