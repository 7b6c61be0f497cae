from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from tests.evaluate.made import TASK, row, rows
from tunesmith.config.experiment import Evaluate
from tunesmith.evaluate.scores import Scores, score

WRITTEN = Evaluate(engine="generate", resamples=100)  # type: ignore[arg-type]


def test_values_are_scikit_learns_and_lie_within_their_intervals() -> None:
    answered = rows(300, 0.7, 0, unread=0.05)
    scores = score(answered, TASK, WRITTEN, seed=1)
    truth = [one.label for one in answered]
    predicted = [-1 if one.predicted is None else one.predicted for one in answered]
    assert scores.metrics["accuracy"].value == pytest.approx(accuracy_score(truth, predicted))
    macro = f1_score(truth, predicted, labels=range(3), average="macro")
    assert scores.metrics["f1_macro"].value == pytest.approx(macro)
    assert all(one.low <= one.value <= one.high for one in scores.metrics.values())
    assert scores.metrics["accuracy"].high - scores.metrics["accuracy"].low == pytest.approx(0.11, abs=0.02)


def test_the_confusion_counts_unread_answers_in_its_last_column() -> None:
    answered = rows(300, 0.7, 0, unread=0.05)
    scores = score(answered, TASK, WRITTEN, seed=1)
    expected = confusion_matrix(
        [one.label for one in answered], [3 if one.predicted is None else one.predicted for one in answered]
    )
    assert scores.confusion is not None
    np.testing.assert_array_equal(scores.confusion.counts, expected[:3])
    assert scores.unread == sum(one.unread is not None for one in answered) > 0


def test_the_file_reads_back_and_has_the_documented_form(tmp_path: Path) -> None:
    scores = score(rows(30, 0.7, 0), TASK, WRITTEN, seed=1, name="tuned", seconds=2.5)
    scores.write(tmp_path / "scores.json")
    assert Scores.read(tmp_path / "scores.json") == scores
    values = json.loads((tmp_path / "scores.json").read_text())
    assert values["engine"] == "generate"
    assert (values["evaluation"], values["records"], values["unread"]) == ("tuned", 30, 0)
    assert (values["primary"], values["seconds"]) == ("accuracy", 2.5)
    assert values["labels"] == values["confusion"]["labels"] == ["World", "Sports", "Business"]
    assert set(values["metrics"]["f1/World"]) == {"value", "low", "high", "better", "unit"}


def test_a_number_that_cannot_be_had_is_absent() -> None:
    answered = [one for one in rows(60, 0.7, 0) if one.label != 2 and one.predicted != 2]
    metrics = score(answered, TASK, WRITTEN, seed=1).metrics
    assert "f1/Business" not in metrics
    assert "f1/World" in metrics
    without_scores = score(answered, TASK, Evaluate(resamples=100), seed=1).metrics
    assert "log_loss" not in without_scores


def test_probabilities_of_all_rows_give_the_metrics_that_need_them() -> None:
    chance = np.random.default_rng(0)
    answered = [replace(one, scores=tuple(chance.dirichlet([1, 1, 1]))) for one in rows(60, 0.7, 0)]
    assert {"log_loss", "roc_auc", "calibration_error"} <= set(
        score(answered, TASK, Evaluate(resamples=100), seed=1).metrics
    )
    answered[0] = row(0, 0, None)
    assert "log_loss" not in score(answered, TASK, Evaluate(resamples=100), seed=1).metrics


def test_the_same_rows_give_the_same_intervals() -> None:
    answered = rows(50, 0.7, 0)
    assert score(answered, TASK, WRITTEN, seed=1) == score(answered, TASK, WRITTEN, seed=1)
    assert score(answered, TASK, WRITTEN, seed=1) != score(answered, TASK, WRITTEN, seed=2)
