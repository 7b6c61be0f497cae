from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.calling import call
from tests.pipeline.small import lora_stage, small_experiment
from tunesmith.files import read_json


@pytest.fixture
def untouched(tmp_path: Path) -> Path:
    """An experiment of which nothing has been done yet."""
    settings = {"max_test_records": 20, "num_resamples": 100, "metrics": ["accuracy"]}
    return small_experiment(tmp_path, stages=[lora_stage(epochs=None, steps=1)], evaluate=settings)


def _predictions(untouched: Path, keep: int | None = None) -> Path:
    """Answers of a program that always says what the record says, for the held-out records."""
    questions = untouched.parent / "held-out.jsonl"
    assert call("prepare", untouched, "--held-out", questions).code == 0
    records = [json.loads(line) for line in questions.read_text().splitlines()]
    file = untouched.parent / "clip.jsonl"
    lines = [json.dumps({"id": record["id"], "answer": record["label"]}) for record in records[:keep]]
    file.write_text("\n".join(lines) + "\n")
    return file


def test_predictions_from_elsewhere_are_scored_without_a_model(untouched: Path) -> None:
    file = _predictions(untouched)
    ended = call("evaluate", untouched, "--predictions", file, "--name", "CLIP")
    assert ended.code == 0, ended.err
    (folder,) = (untouched.parent / "runs" / "small").glob("predictions-CLIP-*")
    scores = read_json(folder / "scores.json")
    assert (scores["evaluation"], scores["records"], scores["metrics"]["accuracy"]["value"]) == (
        "CLIP",
        20,
        1.0,
    )
    assert f"CLIP: {folder}" in ended.out
    assert call("evaluate", untouched, "--predictions", file, "--name", "CLIP").code == 0
    file.write_text(file.read_text().replace('"answer": "', '"answer": "no '))
    ended = call("evaluate", untouched, "--predictions", file, "--name", "CLIP")
    assert (ended.code, "other predictions were scored under this name" in ended.err) == (2, True)
    assert read_json(folder / "scores.json") == scores


def test_predictions_of_other_records_and_names_that_cannot_be_are_refused(untouched: Path) -> None:
    file = _predictions(untouched, keep=17)
    ended = call("evaluate", untouched, "--predictions", file, "--name", "CLIP")
    assert (ended.code, "3 records have no prediction, of 20" in ended.err) == (3, True)
    for name in ("base", "a/b", ""):
        assert call("evaluate", untouched, "--predictions", file, "--name", name).code == 2
    assert "go together" in call("evaluate", untouched, "--predictions", file).err
