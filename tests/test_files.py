import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tunesmith.errors import ExperimentError
from tunesmith.files import (
    SUMS,
    damage,
    expanded,
    read_json,
    read_note,
    whole_file,
    whole_folder,
    write_json,
    write_sums,
    writing,
)


def test_a_file_whose_writing_fails_half_way_is_as_it_was_before(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    write_json(path, {"accuracy": 1})
    with pytest.raises(ZeroDivisionError), whole_file(path) as temporary:
        temporary.write_text("{half" * (1 // 0))
    assert read_json(path) == {"accuracy": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["scores.json"]


def test_a_folder_takes_the_place_of_an_older_one_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "adapter"
    with whole_folder(path) as temporary:
        (temporary / "weights").write_text("old")
    with pytest.raises(ZeroDivisionError), whole_folder(path) as temporary:
        (temporary / "weights").write_text("half" * (1 // 0))
    assert (path / "weights").read_text() == "old"
    with whole_folder(path) as temporary:
        (temporary / "weights").write_text("new")
    assert (path / "weights").read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["adapter"]


def test_what_a_killed_process_left_half_written_does_not_stand_in_the_way(tmp_path: Path) -> None:
    (tmp_path / ".adapter.partial").mkdir()
    (tmp_path / ".adapter.partial" / "junk").write_text("junk")
    with whole_folder(tmp_path / "adapter") as temporary:
        (temporary / "weights").write_text("new")
    assert sorted(file.name for file in (tmp_path / "adapter").iterdir()) == ["weights"]


def test_a_partial_file_of_a_process_that_is_gone_is_removed_and_one_of_a_living_one_kept(
    tmp_path: Path,
) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with whole_file(tmp_path / "out[1].jsonl") as temporary:
        of_living, name = temporary.name.replace(str(os.getpid()), str(os.getppid())), temporary.name
    of_ended = name.replace(str(os.getpid()), str(ended.pid))
    for left in (of_living, of_ended):
        (tmp_path / left).write_text("half")
    write_json(tmp_path / "out[1].jsonl", 1)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([of_living, "out[1].jsonl"])


def test_what_cannot_be_written_is_one_sentence_and_a_full_disk_stays_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "a.json", tmp_path):
        with pytest.raises(
            ExperimentError, match=r"cannot be written \(.*Give a folder that can be written to"
        ):
            write_json(path, 1)
    with (
        pytest.raises(ExperimentError, match="cannot be written"),
        whole_folder(tmp_path / "file" / "folder"),
    ):
        pass
    with pytest.raises(OSError, match="No space left"), writing(tmp_path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": "b"}', "\xff", '{"a": 1, "b": []}', "[" * 5000])
def test_a_damaged_note_is_named_with_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_bytes(text.encode("latin1"))
    with pytest.raises(ExperimentError, match=r"run\.json: is damaged .*Delete it and run again"):
        read_note(tmp_path / "run.json", keys={"a": int}, optional={"b": str})


def test_a_home_folder_of_nobody_is_told() -> None:
    assert expanded(Path("~/runs")) == Path.home() / "runs"
    with pytest.raises(ExperimentError, match="~nobody-of-this-name is no home folder"):
        expanded(Path("~nobody-of-this-name/runs"))


def test_sums_are_those_of_sha256sum_and_tell_every_change(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("a/one", "two"):
        (tmp_path / name).write_text(name)
    assert damage(tmp_path) is None  # Nothing is said of a folder without sums.
    write_sums(tmp_path)
    subprocess.run(["sha256sum", "--check", "--quiet", SUMS], cwd=tmp_path, check=True)
    assert damage(tmp_path) is None
    (tmp_path / "two").write_text("twO")
    assert damage(tmp_path, ["a/one"]) is None
    assert "two: was changed after it was written" in str(damage(tmp_path))
    (tmp_path / "two").unlink()
    assert "two: is not there any more" in str(damage(tmp_path))
    assert damage(tmp_path, ["three"]) is None  # It may be another's sums, of a folder of data.
    (tmp_path / SUMS).write_text("")
    assert "is empty" in str(damage(tmp_path))


def test_json_files_hold_null_and_never_nan(tmp_path: Path) -> None:
    values = {"a": [1.5, float("nan"), (float("inf"), {"b": -float("inf")})], "c": "NaN"}
    write_json(tmp_path / "x.json", values)
    assert json.loads((tmp_path / "x.json").read_text(), parse_constant=pytest.fail) == {
        "a": [1.5, None, [None, {"b": None}]],
        "c": "NaN",
    }
