"""`tunesmith prepare` chooses what is held out and shows the certificate."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.calling import call
from tests.cli.conftest import Finished


def test_a_person_reads_how_many_records_stand_on_each_side(untouched: Path) -> None:
    ended = call("prepare", untouched)
    assert ended.code == 0, ended.err
    lines = [line for line in ended.out.splitlines() if not line.startswith("prepare: ")]
    told = dict(line.strip().split(": ") for line in lines)
    assert (told["train"], told["validation"], told["test"]) == ("200", "40", "60")
    (folder,) = (untouched.parent / "runs" / "small").glob("data-*")
    assert ended.out.startswith(f"prepare: records and split in {folder}\n")
    assert told["checksum"] == json.loads((folder / "manifest.json").read_text())["checksum"]


def test_a_program_reads_nothing_but_the_certificate(finished: Finished) -> None:
    ended = call("prepare", finished.path, "--json", "--variant", "low")
    assert ended.code == 0
    (folder,) = finished.runs.glob("data-*")
    assert json.loads(ended.out) == json.loads((folder / "manifest.json").read_text())
    assert ended.err.startswith("prepare: ")


def test_an_override_chooses_another_split(untouched: Path) -> None:
    certificates = [
        json.loads(call("prepare", untouched, *more, "--json").out) for more in ([], ["data.split.seed=5"])
    ]
    assert certificates[0]["checksum"] != certificates[1]["checksum"]
    assert certificates[0]["counts"] == certificates[1]["counts"]


def test_a_source_that_is_not_there_is_3(untouched: Path) -> None:
    ended = call("prepare", untouched, "data.source.path=row.jsonl")
    assert (ended.code, "row.jsonl" in ended.err) == (3, True)


def test_an_unknown_variant_is_2(finished: Finished) -> None:
    assert "Did you mean 'low'?" in call("prepare", finished.path, "--variant", "loww").err


def test_rows_that_were_left_out_are_counted_where_the_user_looks(untouched: Path) -> None:
    with (untouched.parent / "rows.jsonl").open("a") as rows:
        rows.write("{\n[]\n")
    ended = call("prepare", untouched, "data.on_bad_rows=skip")
    assert "bad rows: 2 (left out; manifest.json names them)\n" in ended.out
    assert "bad rows" not in call("prepare", untouched, "data.source.columns={text: text}").out
