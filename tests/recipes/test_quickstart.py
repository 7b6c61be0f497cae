"""The recipe with a tiny model, on real docstrings. `make quickstart` runs it with its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tiny import tiny_model
from tunesmith import run
from tunesmith.config.read import read_experiment
from tunesmith.records.demo_sources.docstrings import Docstrings

RECIPE = Path(__file__).parents[2] / "recipes" / "quickstart.yaml"


def test_its_packages_come_with_tunesmith() -> None:
    from importlib.metadata import requires

    experiment = read_experiment(RECIPE)
    installed = {"tunesmith", "datasets", "torch"}
    named = {
        line.split(";")[0].split(">")[0].split("<")[0].strip() for one in installed for line in requires(one)
    }
    source = experiment.data.source
    assert isinstance(source, Docstrings)
    assert set(source.packages) <= named
    assert experiment.task.labels_in_order == tuple(source.packages)


@pytest.mark.slow
def test_it_runs_to_the_report_with_a_tiny_model(tmp_path: Path) -> None:
    overrides = [
        f"model.path={tiny_model(tmp_path / 'model')}",
        "data.source.per_package=30",
        "data.split.holdout=40",
        "stages.0.steps=3",
        "evaluate.num_resamples=100",
        f"output={tmp_path / 'runs'}",
    ]
    folder = run(read_experiment(RECIPE, overrides), RECIPE.parent)
    assert json.loads((folder / "evaluation" / "scores.json").read_text())["records"] == 40
    assert "Accuracy" in (folder / "report.html").read_text()
