from __future__ import annotations

import csv
import io
import json
import os
import threading
from pathlib import Path

import pytest

from tunesmith.deploy.result import Prediction
from tunesmith.deploy.writing import opened, writer
from tunesmith.errors import ExperimentError

BOXES = [{"label": "cat", "pixels": [1, 2, 30, 40]}]
ONES = [
    Prediction("a:1", "World", None, '"World", he said\nnow', True, {"World": 0.75, "Sports": 0.25}),
    Prediction("a:2", None, "is empty", "", False, None),
    Prediction("a:3", BOXES, None, "half a pair: \ud83d", True, None),
]


def written(form: str, labels: tuple[str, ...] | None) -> str:
    file = io.StringIO()
    write = writer(form, file, labels)  # type: ignore[arg-type]
    for one in ONES:
        write(one)
    return file.getvalue()


def test_json_lines_hold_everything_and_can_always_be_encoded() -> None:
    text = written("jsonl", None)
    text.encode()
    assert [json.loads(line) for line in text.splitlines()] == [vars(one) for one in ONES]


def test_csv_has_a_column_for_each_class_and_values_that_are_no_text_as_json() -> None:
    text = written("csv", ("World", "Sports"))
    header, first, second, third = csv.reader(io.StringIO(text))
    assert header == [
        "id",
        "reading",
        "unread",
        "answer",
        "ended",
        "probability of World",
        "probability of Sports",
    ]
    assert first == ["a:1", "World", "", '"World", he said\nnow', "true", "0.75", "0.25"]
    assert second == ["a:2", "", "is empty", "", "false", "", ""]
    assert json.loads(third[1]) == BOXES
    assert written("csv", None).splitlines()[0] == "id,reading,unread,answer,ended"


def test_cells_that_a_spreadsheet_would_run_are_written_as_text_and_numbers_stay() -> None:
    file = io.StringIO()
    write = writer("csv", file, None)
    for answer in ("=1+1", "@cmd", "-x", "+x", "\tx", "-1", "+2.5e3", "a=b"):
        write(Prediction("=id", None, None, answer, True, None))
    cells = [row[3] for row in csv.reader(io.StringIO(file.getvalue()))][1:]
    assert cells == ["'=1+1", "'@cmd", "'-x", "'+x", "'\tx", "-1", "+2.5e3", "a=b"]
    assert file.getvalue().splitlines()[1].startswith("'=id,")


def test_a_file_is_whole_or_not_there_and_the_one_before_it_stays(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.jsonl"
    with opened(path) as file:
        file.write("one\n")
        assert not path.exists()
    assert path.read_text() == "one\n"
    with pytest.raises(KeyboardInterrupt), opened(path) as file:  # noqa: PT012
        file.write("half")
        raise KeyboardInterrupt
    assert path.read_text() == "one\n"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_is_refused_and_a_pipe_stays_a_pipe(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="is a folder; name a file"), opened(tmp_path):
        pass
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[str] = []
    reading = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reading.start()
    with opened(pipe) as file:
        file.write("one\n")
    reading.join()
    assert got == ["one\n"]
    assert pipe.is_fifo()


def test_a_place_that_cannot_be_written_to_is_told_before_the_model_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(
            ExperimentError, match=r"out\.jsonl: cannot be written \(.*\)\. Give a folder that can"
        ),
        opened(tmp_path / "file" / "out.jsonl"),
    ):
        pass


def test_standard_output_is_left_open(capsys: pytest.CaptureFixture[str]) -> None:
    with opened(None) as file:
        file.write("one\n")
    print("two")
    assert capsys.readouterr().out == "one\ntwo\n"
