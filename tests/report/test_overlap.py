from __future__ import annotations

import doctest
from pathlib import Path

import numpy as np
import pytest

from tests.report.run_folder_maker import make_pictured
from tunesmith.report import overlap
from tunesmith.report.overlap import overlap_plots, rates
from tunesmith.report.run_folder import read_run_folder


def test_the_examples_in_the_docstrings_are_true() -> None:
    assert doctest.testmod(overlap).failed == 0


def test_the_rate_at_a_threshold_is_the_share_of_records_that_reach_it() -> None:
    ious = np.random.default_rng(0).random(50).round(2).tolist()
    assert rates(ious) == [
        (t / 100, pytest.approx(np.mean(np.array(ious) >= t / 100))) for t in range(1, 101)
    ]


def test_base_and_tuned_stand_in_one_plot_each(tmp_path: Path) -> None:
    run = read_run_folder(make_pictured(tmp_path, boxes=True, records=30))
    plots = overlap_plots(run)
    assert [plot.title for plot in plots] == ["IoU of 30 records", "Detection rate by IoU threshold"]
    assert [[line.name for line in plot.lines] for plot in plots] == [["base", "tuned"]] * 2
    assert run.tuned is not None
    least = min(row.marks["iou"] for row in run.tuned.rows)
    share = np.mean([row.marks["iou"] >= 0.01 for row in run.tuned.rows])
    assert f"tuned: {share:.0%} at IoU is at least 0.01" in plots[1].says, least


def test_rows_without_boxes_have_no_such_plot(run: Path) -> None:
    assert overlap_plots(read_run_folder(run)) == []
