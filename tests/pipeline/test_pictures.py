"""Does a model really learn from pictures? Every generation does, from random weights, on the CPU."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from safetensors.torch import load_file, save_file

from tests.model.families.pictures import FAMILIES
from tests.pipeline.small import small_picture_experiment
from tunesmith import run
from tunesmith.config.read import read_experiment
from tunesmith.files import read_json

pytestmark = pytest.mark.slow


def strengthen(model: Path, times: float = 4) -> None:
    """Multiply all matrices but the embeddings, so that what is in a picture is not drowned from the start: a tiny
    model with the usual beginnings needs several times as many updates until it looks at pictures at all."""
    file = model / "model.safetensors"
    state = load_file(file)
    for name, weight in state.items():
        if weight.ndim > 1 and "embed" not in name:
            state[name] = weight * times
    save_file(state, file, {"format": "pt"})


@pytest.mark.parametrize("model_type", FAMILIES)
def test_every_generation_learns_to_tell_unseen_digits_apart(tmp_path: Path, model_type: str) -> None:
    stage = {
        "name": "see",
        "parts": {"vision": "full", "projector": "full", "language": "full"},
        "steps": 180,
        "batch": {"num_examples": 16},
        "optimizer": {"learning_rate": 3e-3, "warmup": 10},
    }
    evaluate = {"num_resamples": 200, "metrics": ["accuracy"]}
    path = small_picture_experiment(tmp_path, model_type, stages=[stage], evaluate=evaluate)
    strengthen(tmp_path / "model")
    folder = run(read_experiment(path), tmp_path, terminal=Console(file=io.StringIO()))
    comparison = read_json(folder / "evaluation" / "comparison.json")["metrics"]["accuracy"]
    assert comparison["first"] < 0.55
    assert comparison["second"] > 0.7
    assert comparison["verdict"] == "better"
