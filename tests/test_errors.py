"""Errors that the user can put right, and what they probably meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith.errors import (
    DataError,
    ExperimentError,
    ModelError,
    TunesmithError,
    counted,
    did_you_mean,
    in_words,
)


@pytest.mark.parametrize("kind", [ExperimentError, DataError, ModelError])
def test_everything_the_user_can_put_right_is_caught_as_one_kind(kind: type[Exception]) -> None:
    with pytest.raises(TunesmithError, match=r"^what and where$"):
        raise kind("what and where")


def test_the_nearest_possible_word_is_offered_and_nothing_far_off() -> None:
    assert did_you_mean("languge", ["vision", "language"]) == " Did you mean 'language'?"
    assert did_you_mean("audio", ["vision", "language"]) == ""
    assert did_you_mean("anything", []) == ""


def test_a_lone_dot_is_not_read_as_the_folder_above() -> None:
    assert in_words(Path(".")) == in_words(Path("./.")) == "the current folder"
    assert in_words(Path("..")) == ".."
    assert in_words(Path("a/b")) == "a/b"


def test_one_is_in_the_singular_and_thousands_are_apart() -> None:
    assert counted(1, "record") == "1 record"
    assert counted(0, "record") == "0 records"
    assert counted(54000, "class leaks", "classes leak") == "54,000 classes leak"
