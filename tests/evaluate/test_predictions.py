from __future__ import annotations

import doctest
import json
from pathlib import Path

import pytest

from tunesmith.errors import DataError
from tunesmith.evaluate import predictions as module
from tunesmith.evaluate.predictions import ExternalPrediction, read_predictions


def test_the_examples_in_the_docstrings_are_true() -> None:
    assert doctest.testmod(module).failed == 0


def _write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_what_predict_writes_is_read_as_it_stands(tmp_path: Path) -> None:
    line = {"id": "a.jsonl:1", "reading": "World", "unread": None, "answer": "World.", "ended": True}
    file = _write(
        tmp_path / "clip.jsonl", json.dumps({**line, "probabilities": {"World": 0.75, "Sports": 0.25}}), ""
    )
    assert read_predictions(file) == {
        "a.jsonl:1": ExternalPrediction("World.", "World", probabilities={"World": 0.75, "Sports": 0.25})
    }


def test_every_line_that_is_no_prediction_is_named(tmp_path: Path) -> None:
    file = _write(
        tmp_path / "clip.jsonl",
        '{"id": "a", "answer": "World"}',
        '{"id": "a", "answer": "Sports"}',
        "World",
        '{"answer": "World"}',
        '{"id": "b", "label": "World"}',
        '{"id": "c", "answer": 3}',
    )
    with pytest.raises(DataError) as refused:
        read_predictions(file)
    lines = str(refused.value).split("\n")
    assert [line.partition(": ")[0] for line in lines] == [f"{file}:{number}" for number in range(2, 7)]
    assert "is also in line 1" in lines[0]
    assert "is not JSON" in lines[1]
    assert "has no 'id'" in lines[2]
    assert "has no 'answer' (it has id, label)" in lines[3]
    assert "'answer' is 3; it must be a text" in lines[4]


def test_a_file_that_is_not_there_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--predictions .*none.jsonl: cannot be read \(No such file"):
        read_predictions(tmp_path / "none.jsonl")
