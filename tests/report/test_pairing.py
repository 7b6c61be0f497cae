from __future__ import annotations

import json
import shutil

import pytest

from tests.report.run_folder_maker import add_predictions
from tunesmith.report.compare import compare_folders


def test_two_runs_are_paired_as_base_and_tuned_are(experiment):
    [pair] = compare_folders([experiment / "lora", experiment / "full"], experiment).pairs
    values = [
        json.loads((experiment / name / "evaluation" / "scores.json").read_text())["metrics"]["accuracy"][
            "value"
        ]
        for name in ("lora", "full")
    ]
    assert (pair.first, pair.second) == ("lora", "full")
    assert pair.change.change == pytest.approx(values[1] - values[0])
    assert pair.change.low < pair.change.change < pair.change.high
    assert pair.change.test == "mcnemar"


def test_runs_of_other_tasks_are_not_paired(experiment, tmp_path):
    other = shutil.copytree(experiment, tmp_path / "b") / "full"
    settings = other / "experiment.yaml"
    settings.write_text(settings.read_text().replace("Classify", "Say"))
    compared = compare_folders([experiment / "lora", other], tmp_path)
    assert compared.notices == (
        "lora and full cannot be paired: they have different tasks; compare runs of one task",
    )


def test_a_metric_that_one_run_lacks_leaves_the_two_unpaired(experiment, tmp_path):
    others = shutil.copytree(experiment, tmp_path / "b")
    for name in ("lora", "full"):
        scores = others / name / "evaluation" / "scores.json"
        text = scores.read_text().replace('"primary": "accuracy"', '"primary": "log_loss"')
        extra = (
            '"metrics": {"log_loss": {"value": 1, "low": 1, "high": 1, "better": "lower", "unit": "nats"},'
        )
        scores.write_text(text.replace('"metrics": {', extra))
    [notice] = compare_folders([others / "lora", others / "full"], tmp_path).notices
    assert (
        "cannot be paired: Log loss cannot be computed of both; evaluate both with the same settings"
        in notice
    )


def test_a_run_that_is_worse_than_predictions_from_elsewhere_is_said_to_be(experiment, tmp_path):
    experiment = shutil.copytree(experiment, tmp_path / "copy")
    folder = add_predictions(experiment / "lora", "human", 0)
    for name in ("rows.jsonl", "scores.json"):
        shutil.copy(experiment / "full" / "evaluation" / name, folder / name)
    rows = (experiment / "base-2a" / "rows.jsonl").read_text()
    (experiment / "lora" / "evaluation" / "rows.jsonl").write_text(rows)
    compared = compare_folders([experiment / "lora"], tmp_path)
    [pair] = compared.pairs
    assert (pair.second, pair.change.verdict) == ("lora", "worse")
    assert "lora is clearly worse than tuned." in compared.headline
