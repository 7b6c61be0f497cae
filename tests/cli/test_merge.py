"""`tunesmith merge` writes one complete model."""

from __future__ import annotations

from pathlib import Path

from tests.cli.calling import call
from tests.cli.conftest import Finished


def test_it_says_where_the_model_is_and_does_not_write_over_it(finished: Finished, tmp_path: Path) -> None:
    output = tmp_path / "whole"
    ended = call("merge", finished.runs / "low", output, "model.attention=eager")
    assert (ended.code, ended.out) == (0, f"merged: {output}\n"), ended.err
    assert (output / "config.json").exists()
    again = call("merge", finished.runs / "low", output)
    assert again.code == 2
    assert "is there already" in again.err


def test_a_base_model_that_is_not_there_is_4(finished: Finished, tmp_path: Path) -> None:
    ended = call("merge", finished.runs / "low", tmp_path / "whole", "--model", "/no/model")
    assert ended.code == 4
    assert "there is no folder /no/model" in ended.err
