from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.deploy.runs import chats, classifies, finds
from tests.images.made import put, scene
from tunesmith import predict
from tunesmith.deploy.inputs import inputs_of
from tunesmith.deploy.loading import find_result
from tunesmith.deploy.predict import chunks
from tunesmith.deploy.result import Result
from tunesmith.errors import DataError, ExperimentError
from tunesmith.records.record import Record


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classifies(tmp_path_factory.mktemp("predict") / "project")


def lines(path: Path, number: int, start: int = 0) -> Path:
    texts = [f"{'word ' * (index * 7 % 13)}{index}" for index in range(start, start + number)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_predictions_stand_in_the_order_of_the_inputs_whatever_is_answered_together(
    run: Path, tmp_path: Path
) -> None:
    files = [lines(tmp_path / "a.jsonl", 5), lines(tmp_path / "b.jsonl", 8, start=5)]
    told = {}
    for at_once in (1, 4, 1024):
        assert predict(run, files, tmp_path / "out.jsonl", records_at_once=at_once) == 13
        told[at_once] = read(tmp_path / "out.jsonl")
    ids = [
        f"{file}:{line}" for file, number in zip(files, (5, 8), strict=True) for line in range(1, number + 1)
    ]
    for rows in told.values():
        assert [row["id"] for row in rows] == ids
        assert [row["reading"] for row in rows] == [row["reading"] for row in told[1]]


def test_no_more_rows_are_read_than_are_answered_together(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [lines(Path(name), 10).name for name in ("a.jsonl", "b.jsonl")]
    given = inputs_of(names, find_result(run).experiment, {})
    sizes = [[row.id for row in chunk.rows if isinstance(row, Record)] for chunk in chunks(given, 8)]
    assert [len(ids) for ids in sizes] == [8, 8, 4]
    assert sizes[1][0] == "a.jsonl:9"


def test_bad_rows_are_told_with_where_and_why_and_the_good_ones_are_written(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": "axe"}\n{"text": \n{"label": "x"}\n{"text": "fig"}\n')
    with pytest.raises(
        DataError, match=r"^no prediction for 2 of 4 records, for the reasons above; all others have"
    ):
        predict(run, [file], tmp_path / "out.jsonl")
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith(f"{file}:2: bad JSON at column 10")
    assert told[1] == f"{file}:3: prompt: there is no field 'text' (label)."
    assert [row["id"] for row in read(tmp_path / "out.jsonl")] == [f"{file}:1", f"{file}:4"]
    assert predict(run, [file], tmp_path / "out.jsonl", on_bad_rows="skip") == 2


def test_cut_answers_are_counted_at_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = chats(tmp_path / "chat")
    file = tmp_path / "new.jsonl"
    file.write_text("".join(json.dumps({"instruction": f"Say {number}."}) + "\n" for number in range(3)))
    predict(run, [file], tmp_path / "out.jsonl", max_new_tokens=1)
    cut = sum(not row["ended"] for row in read(tmp_path / "out.jsonl"))
    assert cut == 3
    assert (
        "3 of 3 answers cut: the maximum length was reached without an end token" in capsys.readouterr().err
    )


def test_an_interruption_leaves_no_broken_file(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, output = lines(tmp_path / "a.jsonl", 8), tmp_path / "out.jsonl"
    whole = Result.answered
    calls = []

    def interrupted(self: Result, *arguments: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return whole(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Result, "answered", interrupted)
    with pytest.raises(KeyboardInterrupt):
        predict(run, [file], output, records_at_once=4)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.jsonl"]


def test_the_output_cannot_take_the_place_of_an_input(run: Path, tmp_path: Path) -> None:
    file = lines(tmp_path / "a.jsonl", 2)
    with pytest.raises(ExperimentError, match=r"--output .*a.jsonl: is one of the inputs"):
        predict(run, [file], tmp_path / "x" / ".." / "a.jsonl")


def test_what_is_wrong_with_the_inputs_is_told_before_a_model_is_loaded(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunesmith.model.load.load", lambda *_, **__: pytest.fail("a model was loaded"))
    with pytest.raises(DataError, match="does not exist"):
        predict(run, [tmp_path / "none.jsonl"])


def test_boxes_are_looked_for_in_pictures_folders_and_data_files_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = finds(tmp_path / "boxes", label="table of {brand}")
    there = tmp_path / "new"
    put(there / "one.png", scene(50, 120, 60))
    put(there / "many" / "2.png", scene(51))
    (there / "many" / "3.jpg").write_bytes(b"broken")
    (there / "rows.jsonl").write_text(
        '{"image": "many/2.png", "brand": "B1"}\n{"image": "many/4.png", "brand": "B1"}'
    )
    monkeypatch.chdir(there)
    names = ["one.png", "rows.jsonl", "many"]
    with pytest.raises(
        ExperimentError, match=r"besides a picture, task 'detect' asks about brand\. Add --field brand="
    ):
        predict(run, names)
    fields = {"brand": "B1"}
    count = predict(run, names, Path("out.jsonl"), fields=fields, max_new_tokens=4, on_bad_rows="skip")
    assert count == 3
    rows = read(there / "out.jsonl")
    assert [row["id"] for row in rows] == ["one.png", "rows.jsonl:1", "many/2.png"]
    assert rows[1]["answer"] == rows[2]["answer"]
    assert all(
        row["probabilities"] is None and (row["reading"] is None) != (row["unread"] is None) for row in rows
    )
    told = capsys.readouterr().err
    assert "rows.jsonl:2: field 'image': 'many/4.png' does not exist in" in told
    assert "many/3.jpg: field 'image': '3.jpg' is text, not a picture (it begins 'broken')." in told
