from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from tests.evaluate.made import TASK, row, rows
from tunesmith.config.experiment import Evaluate
from tunesmith.errors import ExperimentError
from tunesmith.evaluate.compare import compare, compare_rows
from tunesmith.evaluate.rows import Row, write_rows
from tunesmith.evaluate.scores import SCORES, score

SETTINGS = Evaluate(
    engine="generate",  # type: ignore[arg-type]
    metrics=["accuracy", "f1_macro", "f1", "unread"],
    num_resamples=100,
)


def test_a_clear_gain_is_better_with_its_records_named() -> None:
    first, second = rows(200, 0.4, 0), rows(200, 0.9, 1)
    comparison = compare_rows(first, second, TASK, SETTINGS, seed=1)
    change = comparison.metrics["accuracy"]
    right = [np.mean([one.marks["correct"] for one in some]) for some in (first, second)]
    assert (change.first, change.second, change.change) == pytest.approx((*right, right[1] - right[0]))
    assert change.low < change.change < change.high
    assert (change.verdict, change.test) == ("better", "mcnemar")
    changed = comparison.num_fixed + comparison.num_broken
    exact, seen = (
        binomtest(comparison.num_fixed, changed).pvalue,
        binom.pmf(comparison.num_fixed, changed, 0.5),
    )
    assert change.p_value == pytest.approx(exact - seen)
    fixed = {
        a.record
        for a, b in zip(first, second, strict=True)
        if a.predicted != a.label and b.predicted == b.label
    }
    assert set(comparison.fixed) == fixed
    assert comparison.num_fixed == len(fixed)
    assert not set(comparison.broken) & fixed


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
        SCORES.write(tmp_path / name, score(answered, TASK, SETTINGS, 1, name))
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

    settings = Evaluate(engine="score", metrics=["log_loss"], num_resamples=100)  # type: ignore[arg-type]
    made = rows(50, 1.0, 0)
    first, second = [sure(one, 0.5) for one in made], [sure(one, 0.5 + shift) for one in made]
    change = compare_rows(first, second, TASK, settings, seed=1).metrics["log_loss"]
    assert change.high < 0
    assert change.verdict == verdict


def test_a_verdict_needs_both_the_test_and_the_interval() -> None:
    """4 fixed and none broken: the interval lies above 0, but the p-value is 0.0625."""
    first = [row(index, index % 3, (index + (index < 54)) % 3) for index in range(200)]
    second = [replace(one, **right(one)) if index < 4 else one for index, one in enumerate(first)]
    change = compare_rows(first, second, TASK, SETTINGS, seed=1).metrics["accuracy"]
    assert change.low > 0
    assert change.p_value == pytest.approx(0.0625)
    assert change.verdict == "no clear change"


def right(one: Row) -> dict[str, Any]:
    return {"predicted": one.label, "marks": {"correct": 1.0}}


def together(answered: list[Row], size: int) -> list[Row]:
    """The rows in units of so many."""
    return [
        replace(one, unit=f"person {index // size}", unit_kind="person") for index, one in enumerate(answered)
    ]


def test_records_of_one_unit_count_once() -> None:
    """One unit's 25 answers are all fixed: of 250 records that is clear, of 10 units it is nothing."""
    first = [row(index, index % 3, (index + (index < 125)) % 3) for index in range(250)]
    second = [replace(one, **right(one)) if index < 25 else one for index, one in enumerate(first)]
    alone = compare_rows(first, second, TASK, SETTINGS, seed=1)
    assert (alone.metrics["accuracy"].verdict, alone.units) == ("better", 250)
    grouped = compare_rows(together(first, 25), together(second, 25), TASK, SETTINGS, seed=1)
    change = grouped.metrics["accuracy"]
    assert (grouped.units, grouped.unit_kind) == (10, "person")
    assert (change.verdict, change.test, change.p_value) == ("no clear change", "sign flips", 0.5)
    assert change.low < 0 < change.high


def test_fewer_than_six_units_never_have_a_verdict() -> None:
    first, second = rows(200, 0.1, 0), rows(200, 1.0, 1)
    comparison = compare_rows(together(first, 40), together(second, 40), TASK, SETTINGS, seed=1)
    assert {one.verdict for one in comparison.metrics.values()} == {"too few to tell"}
    assert comparison.metrics["accuracy"].reason == "only 5 units; a verdict needs 6"


def test_a_rare_kind_of_answer_in_fewer_than_three_records_is_too_few_to_tell() -> None:
    first, second = rows(200, 0.7, 0), rows(200, 0.7, 0)
    second[:2] = [replace(one, predicted=None, unread="is empty") for one in second[:2]]
    change = compare_rows(first, second, TASK, SETTINGS, seed=1).metrics["unread"]
    assert change.verdict == "too few to tell"
    assert change.reason == "only 2 records of 200 hold an answer of the rarer kind"


def test_four_broken_records_do_not_make_classes_worse() -> None:
    first = [row(index, index % 3, index % 3) for index in range(250)]
    second = [row(index, index % 3, (index + (index % 3 == 1 and index < 12)) % 3) for index in range(250)]
    comparison = compare_rows(first, second, TASK, SETTINGS, seed=1)
    assert comparison.num_broken == 4
    assert comparison.worse_classes == comparison.perhaps_worse_classes == ()
    change = comparison.metrics["f1/Sports"]
    assert (change.verdict, change.reason) == (
        "too few to tell", "only 4 records changed; a verdict needs 6",
    )  # fmt: skip


def test_a_change_that_never_moves_has_an_interval_with_width_all_the_same() -> None:
    answered = rows(60, 0.7, 0)
    changes = compare_rows(answered, answered, TASK, SETTINGS, seed=1).metrics
    assert all(change.low < 0 < change.high for change in changes.values())


def test_the_corrected_p_value_of_a_family_is_at_least_that_of_the_change_alone() -> None:
    comparison = compare_rows(rows(200, 0.6, 0), rows(200, 0.7, 1), TASK, SETTINGS, seed=1)
    changes = comparison.metrics
    assert changes["accuracy"].p_value == changes["accuracy"].p_alone
    for name, change in changes.items():
        assert change.p_alone is not None
        assert change.p_value >= change.p_alone, name
    assert any(change.p_value > (change.p_alone or 0) for change in changes.values())


def in_groups(number: int, right: tuple[float, float], seed: int, few: int = 0) -> list[Row]:
    """Rows of stage 1 and 2, each answered rightly in its share, and a few of stage 3 that are always wrong or,
    with a share of 1, right."""
    made = rows(number, right[0], seed) + rows(number, right[1], seed + 50)
    made += rows(few, round(right[1]), seed)
    return [
        replace(
            one,
            record=f"a:{index}",
            unit=f"a:{index}",
            sha256=str(index),
            fields={"stage": 1 + min(index // number, 2)},
        )
        for index, one in enumerate(made)
    ]


BY_STAGE = SETTINGS.model_copy(update={"by": ["stage"]})


def test_the_change_of_a_group_is_that_of_its_records_alone() -> None:
    first, second = in_groups(100, (0.5, 0.9), 0), in_groups(100, (0.8, 0.4), 1)
    groups = compare_rows(first, second, TASK, BY_STAGE, seed=1).by["stage"]
    for stage, group in groups.items():
        some = [[one for one in every if one.fields["stage"] == int(stage)] for every in (first, second)]
        alone = compare_rows(some[0], some[1], TASK, SETTINGS, seed=1).metrics
        assert (group.records, group.units) == (100, 100)
        for name, change in group.metrics.items():
            told = (change.change, change.low, change.high)
            assert told == pytest.approx((alone[name].change, alone[name].low, alone[name].high))
            assert change.p_value >= (change.p_alone or 0)
        assert group.metrics["accuracy"].p_alone == alone["accuracy"].p_alone
    assert [groups[stage].metrics["accuracy"].verdict for stage in "12"] == ["better", "worse"]


def test_a_group_that_got_worse_is_named_by_its_primary_metric(tmp_path: Path) -> None:
    for name, right, seed in (("base", (0.5, 0.9), 0), ("tuned", (0.8, 0.4), 1)):
        answered = in_groups(100, right, seed)
        write_rows(tmp_path / name / "rows.jsonl", answered)
        SCORES.write(tmp_path / name, score(answered, TASK, BY_STAGE, 1, name))
    comparison = compare(tmp_path / "base", tmp_path / "tuned", TASK, BY_STAGE, seed=1)
    (worse,) = comparison.worse_groups
    assert (worse.field, worse.value, worse.records, worse.metric) == ("stage", "2", 100, "accuracy")
    assert worse.change == comparison.by["stage"]["2"].metrics["accuracy"].change < 0
    values = json.loads((tmp_path / "tuned" / "comparison.json").read_text())
    assert values["by"]["stage"]["2"]["metrics"]["accuracy"]["verdict"] == "worse"


def test_a_few_records_never_make_a_group_clearly_worse() -> None:
    first, second = in_groups(30, (0.9, 0.9), 0, few=5), in_groups(30, (0.9, 0.0), 1, few=5)
    group = compare_rows(first, second, TASK, BY_STAGE, seed=1).by["stage"]["3"]
    change = group.metrics["accuracy"]
    assert (group.records, change.change, change.verdict) == (5, -1, "too few to tell")
    assert np.isnan([change.low, change.high]).all()


def test_groups_that_only_look_worse_are_named_apart() -> None:
    """Of 8 stages of 30 records one loses 8 answers and gains none: alone that is clear, among 8 it is not quite."""
    first = [replace(row(index, 0, 0), fields={"stage": index % 8}) for index in range(240)]
    broken = set(range(0, 240, 8)[:7])
    wrong = {index for index in range(240) if index % 8 and index % 3 == 0}
    first = [replace(one, **(missed() if one_of in wrong else {})) for one_of, one in enumerate(first)]
    second = [replace(one, **(missed() if index in broken else {})) for index, one in enumerate(first)]
    chance = np.random.default_rng(0)
    second = [
        replace(one, **(right(one) if index in wrong and chance.random() < 0.15 else {}))
        for index, one in enumerate(second)
    ]
    comparison = compare_rows(first, second, TASK, BY_STAGE, seed=1)
    named = [*comparison.worse_groups, *comparison.perhaps_worse_groups]
    assert [(one.value, one.metric) for one in named] == [("0", "accuracy")]


def missed() -> dict[str, Any]:
    return {"predicted": 1, "marks": {"correct": 0.0}}
