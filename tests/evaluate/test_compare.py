from __future__ import annotations

import doctest
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import f1_score

from tests.evaluate.made import TASK, row, rows
from tunesmith.config.experiment import Evaluate
from tunesmith.errors import ExperimentError
from tunesmith.evaluate import compare as module
from tunesmith.evaluate.compare import compare, compare_groups, compare_rows, mcnemar
from tunesmith.evaluate.rows import Row, write_rows
from tunesmith.evaluate.scores import score

SETTINGS = Evaluate(
    engine="generate",  # type: ignore[arg-type]
    metrics=["accuracy", "f1_macro", "f1", "unread"],
    resamples=100,
)


def test_the_examples_in_the_docstrings_are_true() -> None:
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(("fixed", "broken"), [(0, 0), (1, 0), (3, 9), (40, 40), (210, 9), (3000, 2800)])
def test_mcnemar_is_the_exact_binomial_test(fixed: int, broken: int) -> None:
    expected = binomtest(fixed, fixed + broken).pvalue if fixed + broken else 1.0
    assert mcnemar(fixed, broken) == pytest.approx(expected, rel=1e-6)


def test_a_clear_gain_is_better_with_its_records_named() -> None:
    first, second = rows(200, 0.4, 0), rows(200, 0.9, 1)
    comparison = compare_rows(first, second, TASK, SETTINGS, seed=1)
    change = comparison.metrics["accuracy"]
    right = [np.mean([one.marks["correct"] for one in some]) for some in (first, second)]
    assert (change.first, change.second, change.change) == pytest.approx((*right, right[1] - right[0]))
    assert change.low < change.change < change.high
    assert (change.verdict, change.test) == ("better", "mcnemar")
    assert change.p_value == pytest.approx(
        binomtest(comparison.num_fixed, comparison.num_fixed + comparison.num_broken).pvalue
    )
    fixed = {
        a.record
        for a, b in zip(first, second, strict=True)
        if a.predicted != a.label and b.predicted == b.label
    }
    assert set(comparison.fixed) == fixed
    assert comparison.num_fixed == len(fixed)
    assert not set(comparison.broken) & fixed


def test_the_interval_is_that_of_paired_resamples() -> None:
    first, second = rows(150, 0.6, 0), rows(150, 0.7, 1)
    change = compare_rows(first, second, TASK, Evaluate(metrics=["f1_macro"], resamples=400), seed=1).metrics[
        "f1_macro"
    ]  # type: ignore[arg-type]
    pairs = [(a.label, a.predicted, b.predicted) for a, b in zip(first, second, strict=True)]
    truth, before, after = np.array(pairs).T
    chance = np.random.default_rng(5)
    drawn = [chance.integers(150, size=150) for _ in range(300)]
    changes = [
        f1_score(truth[index], after[index], average="macro")
        - f1_score(truth[index], before[index], average="macro")
        for index in drawn
    ]
    assert (change.low, change.high) == pytest.approx(np.percentile(changes, [2.5, 97.5]), abs=0.025)
    assert change.test == "bootstrap"


def test_no_change_is_called_so() -> None:
    answered = rows(100, 0.7, 0)
    comparison = compare_rows(answered, answered, TASK, SETTINGS, seed=1)
    assert {change.verdict for change in comparison.metrics.values()} == {"no clear change"}
    assert {change.p_value for change in comparison.metrics.values()} == {1.0}
    assert comparison.fixed == comparison.broken == ()


def test_more_unread_answers_are_worse() -> None:
    comparison = compare_rows(rows(200, 0.7, 0), rows(200, 0.7, 0, unread=0.3), TASK, SETTINGS, seed=1)
    assert comparison.metrics["unread"].verdict == "worse"
    assert comparison.metrics["unread"].change > 0


def test_a_class_that_got_worse_is_named_even_if_the_whole_got_better() -> None:
    first = [replace(one, marks={"correct": 1.0}) for one in rows(300, 1.0, 0)]
    worse = rows(300, 0.5, 1, only=1)
    comparison = compare_rows(first, worse, TASK, SETTINGS, seed=1)
    assert comparison.worse_classes[0].label == "Sports"
    assert comparison.worse_classes[0].change == min(one.change for one in comparison.worse_classes)
    assert all(one.metric == "f1" and one.high < 0 for one in comparison.worse_classes)
    assert compare_rows(worse, first, TASK, SETTINGS, seed=1).worse_classes == ()


def test_rows_are_matched_by_record_in_any_order() -> None:
    first, second = rows(100, 0.5, 0), rows(100, 0.9, 1)
    assert compare_rows(first, second[::-1], TASK, SETTINGS, 1) == compare_rows(
        first, second, TASK, SETTINGS, 1
    )


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (
            rows(9, 0.5, 0),
            r"1 of 10 are only in the first, 0 of 9 only in the second \(such as news.jsonl:10\)",
        ),
        (
            [*rows(9, 0.5, 0), replace(row(9, 0, 0), sha256="other")],
            "1 of 10 are only in the first, 1 of 10 only in",
        ),
    ],
)
def test_other_records_or_changed_ones_are_not_compared(second: list[Row], message: str) -> None:
    with pytest.raises(ExperimentError, match=f"{message}.*Evaluate both on the same split"):
        compare_rows(rows(10, 0.5, 0), second, TASK, SETTINGS, seed=1)


def test_nothing_cannot_be_compared() -> None:
    with pytest.raises(
        ExperimentError, match="the two evaluations have no records; there is nothing to compare"
    ):
        compare_rows([], [], TASK, SETTINGS, seed=1)


def test_two_folders_give_the_documented_file_in_the_second(tmp_path: Path) -> None:
    for name, right, seed in (("base", 0.4, 0), ("tuned", 0.9, 1)):
        answered = rows(100, right, seed)
        write_rows(tmp_path / name / "rows.jsonl", answered)
        score(answered, TASK, SETTINGS, 1, name).write(tmp_path / name / "scores.json")
    comparison = compare(tmp_path / "base", tmp_path / "tuned", TASK, SETTINGS, seed=1)
    values = json.loads((tmp_path / "tuned" / "comparison.json").read_text())
    assert (values["first"], values["second"], values["records"]) == ("base", "tuned", 100)
    assert set(values["metrics"]["accuracy"]) == {
        "first", "second", "change", "low", "high", "p_value", "test", "verdict",
        "p_alone", "reason",
    }  # fmt: skip
    assert values["fixed"] == list(comparison.fixed)
    assert values["num_broken"] == len(values["broken"])


@pytest.mark.parametrize(("shift", "verdict"), [(1e-5, "no clear change"), (1e-2, "better")])
def test_a_change_that_the_page_could_not_show_is_no_clear_change(shift: float, verdict: str) -> None:
    labels = len(TASK.labels_in_order or ())

    def sure(one: Row, share: float) -> Row:
        scores = [(1 - share) / (labels - 1)] * labels
        scores[one.label or 0] = share
        return replace(one, scores=tuple(scores))

    settings = Evaluate(engine="score", metrics=["log_loss"], resamples=100)  # type: ignore[arg-type]
    made = rows(50, 1.0, 0)
    first, second = [sure(one, 0.5) for one in made], [sure(one, 0.5 + shift) for one in made]
    change = compare_rows(first, second, TASK, settings, seed=1).metrics["log_loss"]
    assert change.high < 0
    assert change.verdict == verdict


def in_groups(number: int, right: tuple[float, float], seed: int, few: int = 0) -> list[Row]:
    """Rows of stage 1 and 2, each answered rightly in its share, and a few of stage 3 that are always wrong or,
    with a share of 1, right."""
    made = rows(number, right[0], seed) + rows(number, right[1], seed + 50)
    made += rows(few, round(right[1]), seed)
    return [
        replace(one, record=f"a:{index}", sha256=str(index), fields={"stage": 1 + min(index // number, 2)})
        for index, one in enumerate(made)
    ]


BY_STAGE = SETTINGS.model_copy(update={"by": ["stage"]})


def test_the_change_of_a_group_is_that_of_its_records_alone() -> None:
    first, second = in_groups(100, (0.5, 0.9), 0), in_groups(100, (0.8, 0.4), 1)
    groups = compare_groups(first, second, TASK, BY_STAGE, seed=1)["stage"]
    for stage, group in groups.items():
        some = [[one for one in every if one.fields["stage"] == int(stage)] for every in (first, second)]
        alone = compare_rows(some[0], some[1], TASK, SETTINGS, seed=1).metrics
        assert group.records == 100
        assert group.metrics == {name: change for name, change in alone.items() if "/" not in name}
    assert [groups[stage].metrics["accuracy"].verdict for stage in "12"] == ["better", "worse"]


def test_a_group_that_got_worse_is_named_by_its_primary_metric(tmp_path: Path) -> None:
    for name, right, seed in (("base", (0.5, 0.9), 0), ("tuned", (0.8, 0.4), 1)):
        answered = in_groups(100, right, seed)
        write_rows(tmp_path / name / "rows.jsonl", answered)
        score(answered, TASK, BY_STAGE, 1, name).write(tmp_path / name / "scores.json")
    comparison = compare(tmp_path / "base", tmp_path / "tuned", TASK, BY_STAGE, seed=1)
    (worse,) = comparison.worse_groups
    assert (worse.field, worse.value, worse.records, worse.metric) == ("stage", "2", 100, "accuracy")
    assert worse.change == comparison.by["stage"]["2"].metrics["accuracy"].change < 0
    values = json.loads((tmp_path / "tuned" / "comparison.json").read_text())
    assert values["by"]["stage"]["2"]["metrics"]["accuracy"]["verdict"] == "worse"


def test_a_few_records_never_make_a_group_clearly_worse() -> None:
    first, second = in_groups(30, (0.9, 0.9), 0, few=6), in_groups(30, (0.9, 0.0), 1, few=6)
    group = compare_groups(first, second, TASK, BY_STAGE, seed=1)["stage"]["3"]
    change = group.metrics["accuracy"]
    assert (group.records, change.change, change.verdict) == (6, -1, "no clear change")
    assert np.isnan([change.low, change.high]).all()


def test_a_group_is_worse_only_if_the_test_says_so_too() -> None:
    first = [replace(row(index, 0, 0), fields={"stage": index % 2}) for index in range(24)]
    second = [
        replace(one, marks={"correct": float(index >= 8 or index % 2)}) for index, one in enumerate(first)
    ]
    change = compare_groups(first, second, TASK, BY_STAGE, seed=1)["stage"]["0"].metrics["accuracy"]
    assert change.high < 0
    assert change.p_value == pytest.approx(binomtest(0, 4).pvalue)
    assert change.verdict == "no clear change"
