"""How near the boxes of base and tuned model come to the true ones, as plots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tunesmith.errors import counted
from tunesmith.report.charts import Plot, Point, Series, line_plot
from tunesmith.report.run_folder import Evaluated, RunView

_NUM_BINS = 20
_THRESHOLDS = [step / 100 for step in range(1, 101)]


def overlap_plots(run: RunView) -> list[Plot]:
    """How many records have which IoU, and which share of them has at least that; none without the mark `iou`."""
    found = list(_ious(run))
    if not found:
        return []
    number = max(len(ious) for _, ious in found)
    plots = [
        line_plot(
            f"IoU of {counted(number, 'record')}",
            [Series(name, _steps(ious), name) for name, ious in found],
            lambda value: f"{value:,.0f}",
            x_title="IoU",
            legend=True,
        ),
        line_plot(
            "Detection rate by IoU threshold",
            [Series(name, rates(ious), name) for name, ious in found],
            lambda value: f"{value:.0%}",
            x_title="IoU is at least",
            legend=True,
        ),
    ]
    return [plot for plot in plots if plot is not None]


def rates(ious: Sequence[float]) -> list[Point]:
    """Share of the records whose IoU is at least each threshold from 0.01 to 1.

    >>> dict(rates([0.5, 0.8]))[0.5], dict(rates([0.5, 0.8]))[0.51]
    (1.0, 0.5)
    """
    return [(threshold, sum(iou >= threshold for iou in ious) / len(ious)) for threshold in _THRESHOLDS]


def _ious(run: RunView) -> Iterator[tuple[str, list[float]]]:
    for name, evaluated in (("base", run.base), ("tuned", run.tuned)):
        ious = _of(evaluated)
        if ious:
            yield name, ious


def _of(evaluated: Evaluated | None) -> list[float]:
    marks = [row.marks.get("iou") for row in evaluated.rows] if evaluated else []
    return [iou for iou in marks if iou is not None]


def _steps(ious: Sequence[float]) -> list[Point]:
    """The outline of a histogram of equal bins from 0 to 1."""
    counts, edges = np.histogram(ious, bins=_NUM_BINS, range=(0, 1))
    corners = [
        corner
        for left, right, count in zip(edges[:-1], edges[1:], counts, strict=True)
        for corner in ((float(left), float(count)), (float(right), float(count)))
    ]
    return [(0.0, 0.0), *corners, (1.0, 0.0)]
