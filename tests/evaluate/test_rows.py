from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.evaluate.made import row, rows
from tunesmith.errors import DataError
from tunesmith.evaluate.rows import read_rows, write_rows


def test_rows_come_back_from_the_file_as_they_were(tmp_path: Path) -> None:
    written = [*rows(20, 0.5, 0, unread=0.2), row(20, 1, 1, [0.25, 0.5, 0.25])]
    write_rows(tmp_path / "rows.jsonl", written)
    assert read_rows(tmp_path / "rows.jsonl") == written


def test_line_separators_in_text_do_not_break_lines_and_half_a_surrogate_does_not_break_the_file(
    tmp_path: Path,
) -> None:
    odd = replace(row(0, 0, 0), answer="a\u2028b\u0085c\r\nd \ud83d", reading="é😀")
    write_rows(tmp_path / "rows.jsonl", [odd, odd])
    assert read_rows(tmp_path / "rows.jsonl") == [odd, odd]
    assert "é😀" in (tmp_path / "rows.jsonl").read_bytes().decode()


def test_a_line_has_the_documented_keys(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", rows(1, 1.0, 0))
    documented = (
        "record sha256 asked reference answer ended reading unread label predicted marks scores fields "
        "pictures boxes unit unit_kind"
    )
    assert list(json.loads((tmp_path / "rows.jsonl").read_text())) == documented.split()


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_rows(path, rows(2, 1.0, 0))
    path.write_text(path.read_text() + '{"record": ')
    with pytest.raises(
        DataError, match=r"rows\.jsonl:3: is not a row of an evaluation .*; delete the folder"
    ):
        read_rows(path)


def test_a_missing_file_is_said() -> None:
    with pytest.raises(DataError, match=r"^nowhere.rows\.jsonl: there is no such file; delete the folder"):
        read_rows(Path("nowhere/rows.jsonl"))


def test_a_file_from_before_there_were_units_has_a_unit_for_each_record(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", rows(2, 1.0, 0))
    lines = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().strip().split("\n")]
    for line in lines:
        del line["unit"], line["unit_kind"]
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    read = read_rows(tmp_path / "rows.jsonl")
    assert [(one.unit, one.unit_kind) for one in read] == [(one.record, "record") for one in read]
