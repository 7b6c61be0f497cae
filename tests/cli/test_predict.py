"""`tunesmith predict` answers new records with what a run left."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.calling import call
from tests.cli.conftest import Finished


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    (tmp_path / "rows.jsonl").write_text('{"text": "the old axe"}\n{"text": "a fig"}\n')
    return tmp_path / "rows.jsonl"


def test_json_lines_go_to_standard_output_and_nothing_else_does(finished: Finished, rows: Path) -> None:
    ended = call("predict", finished.runs / "low", rows)
    assert ended.code == 0, ended.err
    found = [json.loads(line) for line in ended.out.splitlines()]
    assert [list(one) for one in found] == [
        ["id", "reading", "unread", "answer", "ended", "probabilities"]
    ] * 2
    assert {one["reading"] for one in found} <= {"fruit", "tool"}
    assert ended.err == ""


def test_csv_goes_to_a_file_and_settings_may_be_changed(
    finished: Finished, rows: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.csv"
    stage = finished.runs / "high" / "stages" / "adapt"
    ended = call(
        "predict", stage, rows, "model.attention=eager", "--output", output, "--format", "csv", "--batch", "1"
    )
    assert ended.code == 0, ended.err
    assert ended.out == ""
    header, *lines = csv.reader(io.StringIO(output.read_text()))
    assert header[-2:] == ["probability of fruit", "probability of tool"]
    assert [line[0] for line in lines] == [f"{rows}:1", f"{rows}:2"]


def test_bad_rows_make_the_exit_code_3_unless_they_are_skipped(finished: Finished, rows: Path) -> None:
    rows.write_text('{"text": "the old axe"}\n{"txt": "a fig"}\n')
    ended = call("predict", finished.runs / "low", rows)
    assert ended.code == 3
    assert len(ended.out.splitlines()) == 1
    assert f"{rows}:2: prompt: there is no field 'text' (txt)." in ended.err
    skipped = call("predict", finished.runs / "low", rows, "--on-bad-rows", "skip")
    assert (skipped.code, skipped.out) == (0, ended.out)
    filled = call("predict", finished.runs / "low", rows, "--field", "text=a fig = a fruit")
    assert (filled.code, len(filled.out.splitlines())) == (0, 2)


@pytest.mark.slow
def test_json_lines_may_come_from_a_pipe(finished: Finished, rows: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "tunesmith", "predict", str(finished.runs / "low"), "-"]
    done = subprocess.run(
        command, input=rows.read_bytes(), capture_output=True, cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == ["stdin:1", "stdin:2"]


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (["--field", "text"], 2, "--field text: must be NAME=VALUE"),
        (["--max-new-tokens", "3"], 2, "--max-new-tokens: engine 'score' writes no answers"),
        (["--model", "/no/model"], 4, "there is no folder /no/model"),
        (["modl.path=x"], 2, "Did you mean 'model'?"),
        (["none.csv"], 3, "none.csv: does not exist"),
    ],
)
def test_what_cannot_be_is_told_with_its_exit_code(
    finished: Finished, rows: Path, arguments: list[str], code: int, what: str
) -> None:
    ended = call("predict", finished.runs / "low", rows, *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert what in ended.err


def test_an_experiment_with_several_runs_asks_for_one_of_them(finished: Finished, rows: Path) -> None:
    ended = call("predict", finished.runs, rows)
    assert ended.code == 2
    assert "it holds the runs high, low: give one of them" in ended.err
