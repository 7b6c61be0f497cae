from pathlib import Path

import pytest

from tunesmith.files import read_json, whole_file, whole_folder, write_json


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
