import os
from pathlib import Path

import pytest

from tunesmith.errors import DataError
from tunesmith.records.record import Record
from tunesmith.records.sources._rows import row
from tunesmith.records.sources.jsonl import Jsonl


@pytest.fixture
def folder(tmp_path):
    for name in ("b.jsonl", "a.jsonl", "sub/c.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"x": 1}\n')
    return tmp_path


def ids(folder, path):
    return [row.id for row in Jsonl(path=path).rows(folder)]


def test_a_pattern_reads_its_files_by_name_and_a_list_in_its_own_order(folder):
    assert ids(folder, "*.jsonl") == ["a.jsonl:1", "b.jsonl:1"]
    assert ids(folder, "**/*.jsonl") == ["a.jsonl:1", "b.jsonl:1", "sub/c.jsonl:1"]
    assert ids(folder, ["sub/c.jsonl", "a.jsonl"]) == ["sub/c.jsonl:1", "a.jsonl:1"]


def test_a_file_named_twice_is_read_once(folder):
    assert ids(folder, ["b.jsonl", "*.jsonl"]) == ["b.jsonl:1", "a.jsonl:1"]


def test_files_of_one_name_in_two_folders_have_different_ids(folder):
    (folder / "sub" / "a.jsonl").write_text("{}\n")
    assert ids(folder, ["a.jsonl", "sub/a.jsonl"]) == ["a.jsonl:1", "sub/a.jsonl:1"]


def test_a_name_with_brackets_is_a_file_if_there_is_one(folder):
    (folder / "part[1].jsonl").write_text("{}\n")
    assert ids(folder, "part[1].jsonl") == ["part[1].jsonl:1"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("aa.jsonl", r"aa\.jsonl: there is no such file in .* Did you mean 'a\.jsonl'\?"),
        ("zzz", r"there is no such file in .*\. It has a\.jsonl, b\.jsonl\."),
        ("none/a.jsonl", "The folder does not exist either"),
        ("sub", r"sub: is a folder\. Name its files, such as sub/\*"),
        ("*.csv", r"\*\.csv: no file in .* matches this pattern"),
        ([], "path is an empty list"),
    ],
)
def test_a_path_that_leads_nowhere_says_what_is_there(folder, path, message):
    with pytest.raises(DataError, match=message):
        ids(folder, path)


def test_the_fingerprint_changes_with_a_file_and_with_a_new_match(folder):
    source = Jsonl(path="*.jsonl")
    before = source.fingerprint(folder)
    assert source.fingerprint(folder) == before
    os.utime(folder / "a.jsonl", ns=(1, 1))
    touched = source.fingerprint(folder)
    (folder / "new.jsonl").write_text("{}\n")
    assert len({before, touched, source.fingerprint(folder)}) == 3


def test_the_folder_of_the_experiment_file_is_named_in_words(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(
        DataError, match=r"^aa\.jsonl: there is no such file in the current folder\. Did you mean"
    ):
        ids(Path(), "aa.jsonl")


def test_a_pipe_is_told_as_such(folder):
    os.mkfifo(folder / "pipe")
    with pytest.raises(
        DataError, match="pipe: is a pipe or a device, not a file, so it cannot be read twice"
    ):
        ids(folder, "pipe")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"PK\x03\x04rest", "is a zip archive"),
        (b"\x28\xb5\x2f\xfd", "is packed by zstd"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS"),
        (b"PAR1", "is a Parquet file. Write `kind: parquet`"),
        (b"<!DOCTYPE html>", "is a web page"),
    ],
)
def test_a_file_that_is_no_text_is_told_by_what_it_is(folder, content, what):
    (folder / "a.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=f"a.jsonl: {what}"):
        ids(folder, "a.jsonl")


@pytest.mark.parametrize(("depth", "kind"), [(90, "Record"), (101, "BadRow"), (900, "BadRow")])
def test_a_row_that_is_nested_too_deep_is_a_bad_row(folder, depth, kind):
    (folder / "a.jsonl").write_text('{"x": ' + "[" * depth + "]" * depth + "}")
    (row,) = Jsonl(path="a.jsonl").rows(folder)
    assert type(row).__name__ == kind


def test_a_column_may_be_inside_an_object():
    fields = {"sample": {"view": {"file": "a.png"}}, "id": 3}
    made = row("a:1", fields, {"image": "sample.view.file"})
    assert made == Record("a:1", {**fields, "image": "a.png"})
    bad = row("a:2", {"sample": {"view": {}}}, {"image": "sample.view.file"})
    assert bad.why.startswith("data.source.columns: 'sample.view.file': 'file' is not in")
