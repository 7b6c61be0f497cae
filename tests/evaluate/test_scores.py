from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from tests.evaluate.made import TASK, row, rows
from tunesmith.config.experiment import Evaluate
from tunesmith.evaluate.evaluate import row_of
from tunesmith.evaluate.rows import Row
from tunesmith.evaluate.scores import SCORES, read_scores, score
from tunesmith.records.record import Record
from tunesmith.tasks import Answer as ModelAnswer
from tunesmith.tasks.answer import Answer

WRITTEN = Evaluate(engine="generate", num_resamples=100)  # type: ignore[arg-type]


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
    SCORES.write(tmp_path, scores)
    assert read_scores(tmp_path) == scores
    values = json.loads((tmp_path / "scores.json").read_text())
    assert values["engine"] == "generate"
    assert (values["evaluation"], values["records"], values["unread"]) == ("tuned", 30, 0)
    assert (values["primary"], values["seconds"]) == ("accuracy", 2.5)
    assert values["labels"] == values["confusion"]["labels"] == ["World", "Sports", "Business"]
    assert set(values["metrics"]["f1/World"]) == {
        "value", "low", "high", "better", "unit", "reason", "corrected",
    }  # fmt: skip


def test_answers_without_an_end_token_are_counted() -> None:
    answered = rows(20, 0.7, 0)
    some = [replace(one, ended=index >= 3) for index, one in enumerate(answered)]
    assert score(some, TASK, WRITTEN, seed=1).cut == 3
    assert score(answered, TASK, WRITTEN, seed=1).cut == 0


def test_a_number_that_cannot_be_had_is_absent() -> None:
    answered = [one for one in rows(60, 0.7, 0) if one.label != 2 and one.predicted != 2]
    metrics = score(answered, TASK, WRITTEN, seed=1).metrics
    assert "f1/Business" not in metrics
    assert "f1/World" in metrics
    without_scores = score(answered, TASK, Evaluate(num_resamples=100), seed=1).metrics
    assert "log_loss" not in without_scores


def test_probabilities_of_all_rows_give_the_metrics_that_need_them() -> None:
    chance = np.random.default_rng(0)
    answered = [replace(one, scores=tuple(chance.dirichlet([1, 1, 1]))) for one in rows(60, 0.7, 0)]
    assert {"log_loss", "roc_auc", "calibration_error"} <= set(
        score(answered, TASK, Evaluate(num_resamples=100), seed=1).metrics
    )
    answered[0] = row(0, 0, None)
    assert "log_loss" not in score(answered, TASK, Evaluate(num_resamples=100), seed=1).metrics


def test_the_same_rows_give_the_same_intervals_whatever_the_seed() -> None:
    answered = rows(50, 0.7, 0)
    assert score(answered, TASK, WRITTEN, seed=1) == score(answered, TASK, WRITTEN, seed=2)


def test_all_right_is_not_certain() -> None:
    scores = score(rows(20, 1.0, 0), TASK, WRITTEN, seed=1).metrics
    assert (scores["accuracy"].value, scores["accuracy"].high) == (1.0, 1.0)
    assert scores["accuracy"].low == pytest.approx(proportion_confint_of(20, 20), abs=1e-9)
    assert all(one.low < one.high for one in scores.values())


def proportion_confint_of(right: int, number: int) -> float:
    """Lower end of Wilson's interval as scipy has it."""
    return float(binomtest(right, number).proportion_ci(method="wilson").low)


def test_records_of_one_unit_make_the_interval_wider() -> None:
    answered = [replace(row(index, 0, (index // 10) % 2), unit=f"{index // 10}") for index in range(250)]
    grouped = score(answered, TASK, WRITTEN, seed=1)
    assert (grouped.records, grouped.units) == (250, 25)
    alone = score([replace(one, unit=one.record) for one in answered], TASK, WRITTEN, seed=1)
    widths = [one.metrics["accuracy"].high - one.metrics["accuracy"].low for one in (grouped, alone)]
    # All ten records of a unit are alike, so that 25 are as good as 250.
    assert widths[0] / widths[1] == pytest.approx(10**0.5, rel=0.1)


def test_few_units_have_no_interval_and_say_so() -> None:
    answered = [replace(row(index, index % 3, 0), unit=f"{index % 5}") for index in range(50)]
    one = score(answered, TASK, WRITTEN, seed=1).metrics["accuracy"]
    assert np.isnan(one.low)
    assert one.reason == "only 5 units: too few for an interval"
    answered = [replace(row(index, 0, int(index < 5)), unit=f"{index // 5}") for index in range(50)]
    one = score(answered, TASK, WRITTEN, seed=1).metrics["accuracy"]
    assert one.low < 0.6 < one.high
    assert one.reason is not None
    assert one.reason.startswith("of 10 units only 1 holds an answer of the rarer kind")


def by_stage(number: int, right: float, seed: int) -> list[Row]:
    """Rows of stage 1, 2 and (few of them) 3."""
    made = rows(number, right, seed)
    return [
        replace(one, fields={"stage": 3 if index < 5 else index % 2 + 1}) for index, one in enumerate(made)
    ]


def test_a_groups_scores_are_those_of_its_rows_alone(tmp_path: Path) -> None:
    answered = by_stage(200, 0.7, 0)
    scores = score(answered, TASK, WRITTEN.model_copy(update={"by": ["stage"]}), seed=1)
    assert list(scores.by["stage"]) == ["1", "2", "3"]
    for stage, group in scores.by["stage"].items():
        alone = [one for one in answered if one.fields["stage"] == int(stage)]
        expected = score(alone, TASK, WRITTEN, seed=1).metrics
        assert group.records == len(alone)
        assert {name: one.value for name, one in group.metrics.items()} == {
            name: one.value for name, one in expected.items() if "/" not in name
        }
        if stage != "3":
            assert group.metrics["accuracy"] == expected["accuracy"]
            assert group.units == len(alone)
    SCORES.write(tmp_path, scores)
    assert repr(read_scores(tmp_path)) == repr(scores)


def test_a_group_of_few_records_has_intervals_of_shares_alone() -> None:
    scores = score(by_stage(200, 0.7, 0), TASK, WRITTEN.model_copy(update={"by": ["stage"]}), seed=1)
    few = scores.by["stage"]["3"]
    assert few.records == 5
    assert few.metrics["accuracy"].low < few.metrics["accuracy"].high
    assert np.isnan([few.metrics["f1_macro"].low, few.metrics["f1_macro"].high]).all()
    assert few.metrics["f1_macro"].reason == "only 5 records: too few for an interval"


def test_a_file_from_before_there_were_groups_reads_as_one_without(tmp_path: Path) -> None:
    scores = score(rows(30, 0.7, 0), TASK, WRITTEN, seed=1)
    SCORES.write(tmp_path, scores)
    values = json.loads((tmp_path / "scores.json").read_text())
    for later in ("by", "left_out", "units", "unit_kind", "calibration"):
        del values[later]
    (tmp_path / "scores.json").write_text(json.dumps(values))
    assert read_scores(tmp_path) == replace(scores, units=None)


def test_yes_no_questions_are_scored_apart_from_open_ones() -> None:
    task = Answer(prompt="{question}")
    answered = []
    for number, (reference, said) in enumerate(
        [("yes", "yes"), ("no", "yes"), ("a polyp in the colon", "polyp")] * 5
    ):
        record = Record(f"qa.jsonl:{number}", {"question": "?", "answer": reference})
        answered.append(row_of(task, record, task.conversation(record), ModelAnswer(said)))
    groups = score(answered, task, Evaluate(num_resamples=100), seed=1).by["answer type"]
    assert {kind: (one.records, one.metrics["exact_match"].value) for kind, one in groups.items()} == {
        "open": (5, 0.0), "yes/no": (10, 0.5),
    }  # fmt: skip
    assert "bleu" in groups["open"].metrics
    assert "bleu" not in groups["yes/no"].metrics
    closed = [row for row in answered if row.reference in ("yes", "no")]
    assert score(closed, task, Evaluate(num_resamples=100), seed=1).by == {}
