from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunesmith.model.families._stop_tokens import write_stops


def put(path: Path, **values: object) -> None:
    path.write_text(json.dumps(values))


def eos(path: Path) -> object:
    return json.loads(path.read_text())["eos_token_id"]


@pytest.mark.parametrize("before", [None, 7, [7], [7, 9]])
def test_generation_stops_at_the_end_of_a_turn_first_and_at_all_that_it_stopped_at_before(
    tmp_path: Path, before: object
) -> None:
    put(tmp_path / "generation_config.json", eos_token_id=before, temperature=0.6)
    put(tmp_path / "config.json", eos_token_id=7)
    write_stops(tmp_path, 9, (3, 9))
    assert eos(tmp_path / "generation_config.json") == ([9, 3] if before is None else [9, 3, 7])
    assert json.loads((tmp_path / "generation_config.json").read_text())["temperature"] == 0.6
    assert eos(tmp_path / "config.json") == 9


def test_a_config_that_lists_the_end_of_a_turn_keeps_its_list_and_an_inner_one_is_changed_too(
    tmp_path: Path,
) -> None:
    put(tmp_path / "config.json", eos_token_id=[1, 9], text_config={"eos_token_id": 1})
    write_stops(tmp_path, 9, (9,))
    assert eos(tmp_path / "config.json") == [1, 9]
    assert json.loads((tmp_path / "config.json").read_text())["text_config"]["eos_token_id"] == 9


def test_a_folder_of_an_adapter_gets_generation_settings_and_no_config(tmp_path: Path) -> None:
    write_stops(tmp_path, 9, (3, 9))
    assert [file.name for file in tmp_path.iterdir()] == ["generation_config.json"]
