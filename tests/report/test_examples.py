from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from tests.report.run_folder_maker import make_pictured
from tunesmith.report.examples import SHOWN, example_groups, reliability
from tunesmith.report.run_folder import read_run_folder


def test_every_example_stands_in_the_group_where_it_belongs(run):
    fixed, broken, wrong, unread = example_groups(read_run_folder(run))
    right = {
        name: [
            example.row.label == row.predicted
            for example in group.shown
            for row in (example.base, example.tuned)
        ]
        for name, group in (("fixed", fixed), ("broken", broken), ("wrong", wrong))
    }
    assert right == {
        "fixed": [False, True] * SHOWN,
        "broken": [True, False] * SHOWN,
        "wrong": [False] * 2 * SHOWN,
    }
    assert all(example.tuned.unread for example in unread.shown)


def test_all_are_counted_though_few_are_shown(run):
    comparison = json.loads((run / "evaluation" / "comparison.json").read_text())
    fixed, broken, wrong, _ = example_groups(read_run_folder(run))
    right = sum(
        json.loads(one)["label"] == json.loads(one)["predicted"] == json.loads(other)["predicted"]
        for one, other in zip(
            (run / "evaluation" / "rows.jsonl").read_text().splitlines(),
            (run / ".." / "base-2a" / "rows.jsonl").read_text().splitlines(),
            strict=True,
        )
    )
    assert (fixed.total, broken.total) == (comparison["num_fixed"], comparison["num_broken"])
    assert fixed.total + broken.total + wrong.total + right == 400


def test_open_answers_without_any_mark_are_wrong(run):
    for file in (run / "evaluation" / "rows.jsonl", run / ".." / "base-2a" / "rows.jsonl"):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        for number, row in enumerate(rows):
            row |= {
                "label": None,
                "predicted": None,
                "scores": None,
                "marks": {"correct": float(number > 4)},
            }
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert example_groups(read_run_folder(run))[2].total == 5
    assert reliability(read_run_folder(run).tuned) == []


def test_the_reliability_is_that_of_scikit_learn(run):
    tuned = read_run_folder(run).tuned
    rows = [row for row in tuned.rows if row.scores]
    sure = np.array([max(row.scores) for row in rows])
    is_right = np.array([row.predicted == row.label for row in rows])
    share, mean = calibration_curve(is_right, sure, n_bins=10)
    found = reliability(tuned)
    assert [each.right for each in found] == pytest.approx(list(share))
    assert [each.probability for each in found] == pytest.approx(list(mean))
    assert sum(each.count for each in found) == len(rows)


def test_the_boxes_that_are_furthest_off_come_first(tmp_path):
    run = read_run_folder(make_pictured(tmp_path, boxes=True))
    lowest, *others = example_groups(run)
    read = sorted(row.marks["iou"] for row in run.tuned.rows if row.unread is None)
    assert [example.tuned.marks["iou"] for example in lowest.shown] == read[:SHOWN]
    assert [group.title for group in others] == ["Fixed", "Broken", "Still wrong", "Unread"]
