from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.report.run_folder_maker import TOPICS, make_experiment, make_pictured
from tunesmith.report import summary
from tunesmith.report.page import write_report
from tunesmith.report.run_folder import read_run_folder


def plain(text: str) -> str:
    return text.replace("\u202f", " ")


def with_accuracy(run: Path, first: float, second: float, low: float, high: float, verdict: str) -> Any:
    """The run, its accuracy's change replaced."""
    file = run / "evaluation" / "comparison.json"
    comparison = json.loads(file.read_text())
    change = {"first": first, "second": second, "change": second - first, "low": low, "high": high}
    comparison["metrics"]["accuracy"] |= change | {"verdict": verdict}
    file.write_text(json.dumps(comparison))
    return read_run_folder(run)


@pytest.mark.parametrize(
    ("numbers", "verdict", "says"),
    [
        (
            (0.26, 0.762, 0.45, 0.55),
            "better",
            "Accuracy on 400 held-out records rose from 26.0 % to 76.2 % "
            "(+50.2 points, 95 % interval 45.0 to 55.0).",
        ),
        (
            (0.762, 0.701, -0.09, -0.03),
            "worse",
            "Accuracy on 400 held-out records got worse: it fell from 76.2 % to 70.1 % "
            "(−6.1 points, 95 % interval −9.0 to −3.0).",
        ),
        (
            (0.762, 0.769, -0.012, 0.025),
            "no clear change",
            "No clear change: accuracy on 400 held-out records was 76.2 % before and 76.9 % after "
            "(+0.7 points, 95 % interval −1.2 to 2.5).",
        ),
    ],
)
def test_the_headline_says_honestly_what_happened(run, numbers, verdict, says):
    headline = summary.headline(with_accuracy(run, *numbers, verdict=verdict))
    assert plain(headline.text) == says
    assert headline.verdict == verdict


def test_a_loss_that_fell_is_better(run):
    for file, value in (
        (run / ".." / "base-2a" / "scores.json", 1.39),
        (run / "evaluation" / "scores.json", 0.71),
    ):
        scores = json.loads(file.read_text()) | {"primary": "log_loss"}
        ends = {"low": value - 0.1, "high": value + 0.1}
        scores["metrics"]["log_loss"] = {"value": value, "better": "lower", "unit": "nats"} | ends
        file.write_text(json.dumps(scores))
    file = run / "evaluation" / "comparison.json"
    comparison = json.loads(file.read_text())
    change = {"first": 1.39, "second": 0.71, "change": -0.68, "low": -0.8, "high": -0.5}
    test = {"p_value": 0.001, "test": "bootstrap", "verdict": "better"}
    comparison["metrics"]["log_loss"] = change | test
    file.write_text(json.dumps(comparison))
    assert plain(summary.headline(read_run_folder(run)).text) == (
        "Log loss on 400 held-out records fell from 1.390 nats to 0.710 nats "
        "(−0.680, 95 % interval −0.800 to −0.500)."
    )


def test_before_the_tuned_model_is_evaluated_the_base_speaks(run):
    shutil.rmtree(run / "evaluation")
    base = json.loads((run / ".." / "base-2a" / "scores.json").read_text())["metrics"]["accuracy"]["value"]
    headline = summary.headline(read_run_folder(run))
    assert headline.text.startswith("The untouched base model's accuracy on 400 held-out records is ")
    assert f"{base:.1%}".replace("%", " %") in plain(headline.text)
    assert headline.verdict is None


def test_without_any_evaluation_the_headline_says_so(run):
    shutil.rmtree(run / "evaluation")
    shutil.rmtree(run / ".." / "base-2a")
    assert summary.headline(read_run_folder(run)).text == "There is no evaluation on held-out records yet."


def test_a_class_that_got_worse_is_named(run):
    file = run / "evaluation" / "comparison.json"
    worse = {"label": "Sports", "metric": "f1", "first": 0.967, "second": 0.899}
    worse |= {"change": -0.068, "low": -0.1, "high": -0.03}
    file.write_text(json.dumps(json.loads(file.read_text()) | {"worse_classes": [worse]}))
    assert [plain(line) for line in summary.worse(read_run_folder(run))] == [
        "Sports F1 96.7 % → 89.9 % (−6.8 points, 95 % interval −10.0 to −3.0)"
    ]


def test_a_model_that_got_worse_lists_metrics_before_classes(tmp_path):
    [run] = make_experiment(tmp_path, accuracy=(0.8, 0.5))
    lines = summary.worse(read_run_folder(run))
    assert lines[0].startswith("Accuracy ")
    assert lines[1].startswith("F1 macro ")
    assert len(lines) > 2


def test_the_most_frequent_mistakes_are_those_of_the_rows(run):
    counts = np.zeros((4, 5), int)
    for line in (run / "evaluation" / "rows.jsonl").read_text().splitlines():
        row = json.loads(line)
        counts[row["label"], 4 if row["predicted"] is None else row["predicted"]] += 1
    np.fill_diagonal(counts, 0)
    found = summary.common_mistakes(read_run_folder(run), 8)
    assert found[0].count == counts.max()
    answers = [*TOPICS, "an unread answer"]
    assert all(counts[TOPICS.index(it.true), answers.index(it.predicted)] == it.count for it in found)


def test_unread_answers_are_counted_beside_all(run):
    base, tuned = summary.unread(read_run_folder(run))
    assert base.startswith("base ")
    assert tuned.startswith("tuned ")
    assert "of 400" in tuned


def test_a_class_with_a_slash_in_its_name_keeps_it(run):
    metrics, classes = summary.class_rows(read_run_folder(run))
    assert metrics == ["precision", "recall", "f1"]
    assert list(classes) == list(TOPICS)


def test_the_facts_count_each_part_once(run):
    facts = {name: plain(value) for name, value in summary.facts(read_run_folder(run))}
    assert facts == {
        "Base model": "Qwen/Qwen2.5-0.5B-Instruct",
        "Trained weights": "921,600 (0.6 %)",
        "Training time": "8 min 14 s",
        "Peak memory": "1.82 GiB",
        "Saved": "3.5 MiB",
        "Held-out records": "400",
    }


def test_results_are_broken_down_with_the_primary_metric_first(tmp_path):
    run = read_run_folder(make_pictured(tmp_path))
    kinds, stages = summary.group_tables(run)
    assert (kinds.title, stages.title) == ("By answer type", "By stage")
    assert [(row.value, row.records) for row in stages.rows] == [("1", 30), ("2", 30), ("3", 30)]
    assert stages.metrics == ("accuracy", "unread")
    for row in stages.rows:
        cell = row.metrics[0]
        for side, evaluated in ((cell.base, run.base), (cell.tuned, run.tuned)):
            right = [one.marks["correct"] for one in evaluated.rows if str(one.fields["stage"]) == row.value]
            assert side.value == pytest.approx(np.mean(right))
        assert cell.change.change == pytest.approx(cell.tuned.value - cell.base.value)


def test_a_group_that_got_worse_is_named(tmp_path):
    run = read_run_folder(make_pictured(tmp_path))
    assert [plain(line).partition(" (")[0] for line in summary.worse(run)] == [
        "Accuracy where stage is 2: 60.0 % → 16.7 %"
    ]


def test_files_from_before_there_were_groups_still_have_a_page(run):
    for name, keys in (("scores.json", ("by", "left_out")), ("comparison.json", ("by", "worse_groups"))):
        file = run / "evaluation" / name
        values = json.loads(file.read_text())
        for key in keys:
            del values[key]
        file.write_text(json.dumps(values))
    assert summary.group_tables(read_run_folder(run)) == []


def test_a_recall_that_fell_is_not_passed_over_where_no_f1_fell(run):
    file = run / "evaluation" / "comparison.json"
    comparison = json.loads(file.read_text())
    for name, change in comparison["metrics"].items():
        change["verdict"] = "worse" if name == f"recall/{TOPICS[0]}" else "better"
    file.write_text(json.dumps(comparison | {"worse_classes": []}))
    found = read_run_folder(run)
    assert summary.worse(found) == []
    assert summary.worse_alone(found) == [f"{TOPICS[0]} recall"]
    page = write_report(run).read_text()
    assert f"By itself did: {TOPICS[0]} recall." in page
    assert "Nothing that was measured got clearly worse." not in page


def test_a_model_that_is_surer_than_right_is_told_by_how_much(run: Path) -> None:
    file = run / "evaluation" / "scores.json"
    values = json.loads(file.read_text())
    values["calibration"] = {
        "confidence": 0.91, "accuracy": 0.84, "too_sure": 0.07, "low": 0.03, "high": 0.11, "p_value": 0.002,
    }  # fmt: skip
    file.write_text(json.dumps(values))
    (*_, told) = summary.calibration(read_run_folder(run))
    assert plain(told) == (
        "Tuned is 91.0 % sure on average and 84.0 % right: too sure by 7.0 points "
        "(95 % interval of the difference 3.0 to 11.0; Spiegelhalter's test p 0.002)"
    )


@pytest.mark.parametrize(
    ("mark", "form", "content", "says"),
    [
        ("correct", 0.30, 0.20, "Of this change, +30.0 points come from the form of the answers (130 became readable, "
         "4 unreadable) and +20.0 points from their content."),
        ("iou", 0.60, -0.10, "Of the change in the share of right answers, +60.0 points"),
        ("correct", 0.04, 0.46, ""),
    ],
)  # fmt: skip
def test_what_the_form_of_answers_explains_is_said_where_it_is_more_than_a_tenth(
    run, mark, form, content, says
):
    file = run / "evaluation" / "comparison.json"
    comparison = json.loads(file.read_text())
    parts = {"form": form, "content": content, "now_read": 130, "now_unread": 4}
    file.write_text(json.dumps(comparison | {"form": {"mark": mark} | parts}))
    headline = plain(summary.headline(read_run_folder(run)).text)
    assert says in headline
    assert ("the form of the answers" in headline) == bool(says)
