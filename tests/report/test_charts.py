from __future__ import annotations

import doctest
import math

import numpy as np
import pytest

from tunesmith.report import charts
from tunesmith.report.charts import (
    HEIGHT,
    LEFT,
    MAX_POINTS,
    TOP,
    WIDTH,
    Series,
    histogram,
    line_plot,
    smoothed,
    ticks,
)


def test_examples_in_the_docstrings_hold():
    assert doctest.testmod(charts).failed == 0


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0.13, 0.92), (-3, 7), (5, 5), (0, 0), (1e-7, 3e-4), (1, 1e9), (-0.2, -0.1)]
)
def test_ticks_cover_all_values_with_few_round_numbers(low, high):
    found = ticks(low, high)
    assert found[0] <= low + 1e-12
    assert found[-1] >= high - 1e-12
    assert 2 <= len(found) <= 8
    assert np.allclose(np.diff(found), found[1] - found[0])


def test_lines_stay_inside_the_plot():
    plot = line_plot("loss", [Series("a", [(x, math.sin(x) * 10**5) for x in range(50)], markers=True)], str)
    assert all(LEFT <= x <= WIDTH and TOP <= y <= HEIGHT for x, y in plot.lines[0].markers)


def test_a_diverged_loss_leaves_a_plot_of_what_is_finite():
    plot = line_plot(
        "loss", [Series("", [(1, 2.0), (2, math.nan), (3, math.inf), (4, 1.0)], markers=True)], "{:g}".format
    )
    assert len(plot.lines[0].markers) == 2
    assert plot.says == "loss. 2 at update 1, 1 at update 4."


def test_nothing_to_draw_is_no_plot():
    assert line_plot("loss", [Series("", [(1, math.nan)]), Series("", [])], str) is None


def test_a_hundred_thousand_updates_make_a_small_page():
    plot = line_plot("loss", [Series("", [(x, 1.0 + x % 2) for x in range(100_000)])], str)
    assert plot.lines[0].path.count("L") < MAX_POINTS


def test_the_running_mean_keeps_the_mean_and_takes_the_noise():
    noisy = [(x, 1.0 + (-1) ** x) for x in range(480)]
    smooth = np.array([y for _, y in smoothed(noisy)])
    assert abs(smooth.mean() - 1) < 0.01
    assert smooth.std() < 0.1


def test_bars_have_the_heights_of_their_counts():
    plot = histogram("lengths", [0, 10, 20, 30], [5, 10, 0], [(12, "p50"), (13, "p95")], "tokens")
    heights = [height for _, _, _, height in plot.bars]
    assert heights[0] * 2 == pytest.approx(heights[1], abs=0.2)
    assert heights[2] == 0
    assert [mark.row for mark in plot.dividers] == [0, 1], "labels of neighbours would lie on one another"
