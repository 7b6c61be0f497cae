"""What a head is worth: alone on a frozen model it beats chance, and with the model's parts trained it beats itself."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.pipeline.small import small_picture_experiment
from tests.pipeline.test_pictures import strengthen
from tunesmith import run
from tunesmith.config.read import read_experiment
from tunesmith.files import read_json

pytestmark = pytest.mark.slow

DIGITS = [3, 4, 6]
"""None of those that the base model has learnt to name (`small_picture_experiment`)."""
PICTURES: dict[str, Any] = {
    "kind": "digits",
    "questions": "classify",
    "digits": DIGITS,
    "canvas": [56, 56],
    "size": [40, 48],
    "paper": "plain",
}
LORA = {"kind": "lora", "rank": 16, "alpha": 32}
HEAD = {"kind": "full", "learning_rate": 1e-2}
WAYS = {
    "alone": {"head": HEAD},
    "whole": {"vision": LORA, "projector": "full", "language": LORA, "head": HEAD},
}


def stage_of(parts: dict[str, Any], steps: int) -> dict[str, Any]:
    optimizer = {"learning_rate": 3e-3, "warmup": 10}
    return {
        "name": "see",
        "parts": parts,
        "steps": steps,
        "batch": {"num_examples": 16},
        "optimizer": optimizer,
    }


def ran(path: Path, variant: str | None = None) -> Path:
    """The folder of a run, or of that of a variant."""
    terminal = Console(file=io.StringIO())
    return run(read_experiment(path, variant=variant), path.parent, variant or "main", terminal)


def test_chance_then_a_head_alone_then_the_whole_on_digits_that_neither_saw(tmp_path: Path) -> None:
    everything = {"vision": "full", "projector": "full", "language": "full"}
    path = small_picture_experiment(
        tmp_path / "base",
        stages=[stage_of(everything, 150)],
        evaluate={"num_resamples": 100, "max_test_records": 20},
    )
    strengthen(path.parent / "model")
    base = ran(path)
    data = {
        "ignore": ["boxes"],
        "source": PICTURES | {"pictures": 1200, "seed": 3, "samples": [0, 0.8]},
        "split": {
            "holdout": PICTURES | {"pictures": 400, "seed": 4, "samples": [0.8, 1]},
            "validation": 0,
        },
        "leaks": {"pictures": None},
    }
    task = {
        "kind": "classify",
        "labels": [str(digit) for digit in DIGITS],
        "pictures": ["image"],
        "prompt": "?",
        "answer": {"kind": "head", "hidden": 64},
    }
    shutil.copytree(base / "stages" / "see" / "model", tmp_path / "headed" / "model")
    path = small_picture_experiment(
        tmp_path / "headed",
        stages=[stage_of(WAYS["alone"], 200)],
        data=data,
        task=task,
        evaluate={"num_resamples": 200, "metrics": ["accuracy"]},
        variants={way: {"stages.0.parts": parts} for way, parts in WAYS.items()},
    )
    found = {}
    for way in WAYS:
        scores = read_json(ran(path, way) / "evaluation" / "scores.json")
        found[way] = scores["metrics"]["accuracy"]
    chance = 1 / len(DIGITS)
    assert chance < found["alone"]["low"]
    assert found["alone"]["high"] < found["whole"]["low"]
    assert found["whole"]["value"] > 0.75
