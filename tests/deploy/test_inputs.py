from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.images.made import put, scene
from tunesmith.config.experiment import Experiment
from tunesmith.config.read import experiment_from
from tunesmith.deploy.inputs import inputs_of
from tunesmith.errors import DataError, ExperimentError
from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow

CLASSIFY = {"kind": "classify", "labels": ["a", "b"], "prompt": "{text}"}
SHOWN = {"kind": "answer", "prompt": "{question}", "pictures": ["photo"]}


def experiment(task: dict[str, Any], *overrides: str, **source: Any) -> Experiment:
    tree = {
        "name": "x",
        "model": {"path": "m"},
        "data": {"source": {"kind": "jsonl", "path": "train.jsonl", **source}},
        "task": task,
        "stages": [{"parts": {"language": "full"}}],
    }
    return experiment_from(tree, overrides)


def rows(names: list[str], of: Experiment, **given: str) -> list[Record | BadRow]:
    return [row for one in inputs_of(names, of, given) for row in one.rows()]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_files_of_every_kind_are_known_by_their_endings(here: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    line = '{"text": "x"}'
    (here / "a.jsonl").write_text(line)
    (here / "a.NDJSON").write_text(line)
    (here / "a.json").write_text(f"[{line}]")
    (here / "a.csv").write_text("text\nx\n")
    (here / "a.tsv").write_text("id\ttext\n1\tx\n")
    (here / "a.csv.gz").write_bytes(gzip.compress(b"text\nx\n"))
    pq.write_table(pa.table({"text": ["x"]}), here / "a.parquet")
    names = sorted(file.name for file in here.iterdir())
    found = inputs_of(names, experiment(CLASSIFY), {})
    assert [one.count for one in found] == [1] * 7
    read = [row for one in found for row in one.rows()]
    assert [row.fields["text"] for row in read if isinstance(row, Record)] == ["x"] * 7
    assert [row.id.rpartition(":")[0] for row in read if isinstance(row, Record)] == names


def test_json_lines_come_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BufferedReader(io.BytesIO(b'{"text": "x"}\n\n[1]\n')))  # type: ignore[arg-type]
    monkeypatch.setattr(sys, "stdin", stream)
    (one,) = inputs_of(["-"], experiment(CLASSIFY), {})
    assert one.count is None
    assert list(one.rows()) == [
        Record("stdin:1", {"text": "x"}),
        BadRow("stdin:3", "is a list, not an object {...}."),
    ]
    assert one.image_root("stdin:1") == Path()


def test_a_file_is_read_as_the_training_data_were_and_columns_may_keep_their_names(here: Path) -> None:
    (here / "new.csv").write_bytes("body;id\nÄ;1\n".encode("cp1252"))
    trained_on = experiment(
        CLASSIFY, kind="csv", delimiter=";", encoding="cp1252", columns={"text": "body", "label": "topic"}
    )
    assert rows(["new.csv"], trained_on) == [Record("new.csv:2", {"body": "Ä", "id": "1", "text": "Ä"})]
    (here / "other.jsonl").write_text('{"text": "y"}')
    assert rows(["other.jsonl"], trained_on) == [Record("other.jsonl:1", {"text": "y"})]


def test_fields_that_rows_lack_may_be_given(here: Path) -> None:
    (here / "a.jsonl").write_text('{"text": "own"}\n{"x": 1}')
    found = rows(["a.jsonl"], experiment(CLASSIFY), text="given")
    assert [row.fields["text"] for row in found if isinstance(row, Record)] == ["own", "given"]
    with pytest.raises(
        ExperimentError, match=r"--field txt: the task asks about no such field \(text\). Did you mean"
    ):
        rows(["a.jsonl"], experiment(CLASSIFY), txt="given")


def test_pictures_and_folders_of_them_stand_for_the_tasks_picture_field(here: Path) -> None:
    for name in ("b/10.png", "b/9.JPG", "b/inner/1.webp"):
        put(here / name, scene(1))
    (here / "b" / "notes.txt").write_text("x")
    (here / "b" / ".hidden.png").write_text("x")
    put(here / "a.png", scene(1))
    found = inputs_of(["a.png", "b"], experiment(SHOWN), {"question": "What?"})
    assert [one.count for one in found] == [1, 3]
    read = [row for one in found for row in one.rows()]
    assert [row.id for row in read if isinstance(row, Record)] == [
        "a.png",
        "b/9.JPG",
        "b/10.png",
        "b/inner/1.webp",
    ]
    assert isinstance(read[3], Record)
    assert read[3].fields == {"question": "What?", "photo": "1.webp"}
    assert found[1].image_root("b/inner/1.webp") == Path("b/inner")
    assert found[1].passed_over == (".hidden.png", "notes.txt")


def test_pictures_are_known_by_their_content_and_all_other_files_of_a_folder_are_named(here: Path) -> None:
    scene(1).save(here / "no_ending", "PNG")
    (here / "photos").mkdir()
    scene(1).save(here / "photos" / "a.jpg.download", "JPEG")
    for name in ("raw.NEF", "b.svg", "rows.jsonl", "Thumbs.db", "archive.zip", ".DS_Store"):
        (here / "photos" / name).write_bytes(b"II*\0 other")
    given = {"question": "What?"}
    (alone,) = inputs_of(["no_ending"], experiment(SHOWN), given)
    assert [row.id for row in alone.rows() if isinstance(row, Record)] == ["no_ending"]
    (folder,) = inputs_of(["photos"], experiment(SHOWN), given)
    named = [row.id for row in folder.rows() if isinstance(row, Record)]
    assert named == ["photos/a.jpg.download", "photos/b.svg", "photos/raw.NEF"]
    assert folder.passed_over == ("archive.zip", "rows.jsonl")


def test_pictures_of_a_data_file_are_beside_it_or_in_the_folder_that_is_named(here: Path) -> None:
    (here / "data").mkdir()
    (here / "data" / "a.jsonl").write_text(json.dumps({"question": "x", "photo": "1.png"}))
    (beside,) = inputs_of(["data/a.jsonl"], experiment(SHOWN), {})
    assert beside.image_root("data/a.jsonl:1") == Path("data")
    (named,) = inputs_of(["data/a.jsonl"], experiment(SHOWN, "data.pictures.folder=photos"), {})
    assert named.image_root("data/a.jsonl:1") == Path("photos")


def test_pictures_in_a_parquet_file_are_bytes_under_either_name(here: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for column in ("photo", "image"):
        pq.write_table(
            pa.table({"question": ["x"], column: [b"bytes"], "other": [b"y"]}), here / f"{column}.parquet"
        )
    of = experiment(SHOWN, columns={"photo": "image"})
    found = rows(["photo.parquet", "image.parquet"], of)
    assert [row.fields["photo"] for row in found if isinstance(row, Record)] == [b"bytes", b"bytes"]


def test_everything_that_is_not_there_is_named_at_once(here: Path) -> None:
    (here / "rows.jsonl").write_text("{}")
    (here / "notes.txt").write_text("x")
    (here / "empty").mkdir()
    with pytest.raises(DataError) as caught:
        inputs_of(["row.jsonl", "notes.txt", "empty", "rows.jsonl"], experiment(CLASSIFY), {})
    first, second, third = str(caught.value).splitlines()
    assert first == "row.jsonl: does not exist. Did you mean 'rows.jsonl'?"
    assert second.startswith(
        "notes.txt: neither its ending nor its content is a known one (.jsonl, .ndjson, .json, .csv, .tsv"
    )
    assert third.startswith("empty: is a folder without pictures (.jpg,")


@pytest.mark.parametrize(
    ("task", "what"),
    [
        (CLASSIFY, "a.png: is a picture, but task 'classify' asks about no picture. Give a data file with the fields "
         "text"),
        (SHOWN | {"pictures": ["one", "two"]}, "a.png: is a picture, but task 'answer' asks about 2 pictures (one, "
         "two). Give a data file with the fields question, one, two"),
        (SHOWN, "a.png: besides a picture, task 'answer' asks about question. Add --field question=VALUE, or give a "
         "data file with the fields question, photo"),
    ],
)  # fmt: skip
def test_a_picture_alone_that_is_not_enough_says_what_else_is_asked_about(
    here: Path, task: dict[str, Any], what: str
) -> None:
    put(here / "a.png", scene(1))
    with pytest.raises(ExperimentError) as caught:
        inputs_of(["a.png"], experiment(task), {})
    assert str(caught.value) == what


def test_what_cannot_be_read_to_its_end_is_a_bad_row_and_no_loss_of_the_rows_before(here: Path) -> None:
    whole = gzip.compress(b'{"text": "x"}\n' * 100_000)
    (here / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (here / "none.jsonl").write_text("")
    *good, bad, empty = rows(["cut.jsonl.gz", "none.jsonl"], experiment(CLASSIFY))
    assert len(good) > 100
    assert isinstance(bad, BadRow)
    assert bad.where == "cut.jsonl.gz"
    assert bad.why.startswith("cannot be read to its end")
    assert empty == BadRow("none.jsonl", "is empty: it holds no rows.")
