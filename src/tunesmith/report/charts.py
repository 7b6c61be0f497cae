"""Plots as plain geometry; `templates/charts.html.jinja` draws it as SVG in the page's colours and font."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 340, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 20, 24
MAX_POINTS = 300
"""A line is drawn with at most this many points, each the mean of the points that it replaces."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """One line of a plot."""

    name: str
    points: Sequence[Point]
    style: str = "tuned"
    """CSS class: its colour and dashes."""
    markers: bool = False


@dataclass(frozen=True)
class Mark:
    """A labelled place on an axis, in pixels of the plot."""

    at: float
    label: str
    row: int = 0
    """0, or 1 for a label that makes room for its neighbour."""


@dataclass(frozen=True)
class Line:
    """A series ready to draw."""

    name: str
    style: str
    path: str
    markers: tuple[Point, ...]


@dataclass(frozen=True)
class Plot:
    """A plot ready to draw. `says` tells in words what it shows, for those who do not see it."""

    title: str
    says: str
    x_title: str
    x_ticks: tuple[Mark, ...]
    y_ticks: tuple[Mark, ...]
    lines: tuple[Line, ...] = ()
    bars: tuple[tuple[float, float, float, float], ...] = ()
    dividers: tuple[Mark, ...] = ()
    legend: bool = False


@dataclass(frozen=True)
class Axes:
    """Where values fall on the plot."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def x(self, value: float) -> float:
        """Pixels from the left."""
        share = (value - self.x_low) / ((self.x_high - self.x_low) or 1)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        share = (value - self.y_low) / ((self.y_high - self.y_low) or 1)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) that cover low to high, about `wanted` of them.

    >>> ticks(0.13, 0.92)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    span = (high - low) or abs(high) or 1.0
    rough = span / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, max(last, first + 1) + 1)]


def line_plot(
    title: str,
    series: Iterable[Series],
    shown: Callable[[float], str],
    x_title: str = "update",
    dividers: Sequence[tuple[float, str]] = (),
    legend: bool = False,
) -> Plot | None:
    """Lines over a common x axis, or None if no point is finite. `shown` writes values of the y axis."""
    drawn = [_thinned(_finite(line)) for line in series]
    drawn = [line for line in drawn if line.points]
    if not drawn:
        return None
    xs = [x for line in drawn for x, _ in line.points]
    ys = [y for line in drawn for _, y in line.points]
    y_ticks = ticks(min(ys), max(ys))
    axes = Axes(min(xs), max(xs), y_ticks[0], y_ticks[-1])
    return Plot(
        title=title,
        says=f"{title}. " + " ".join(_in_words(line, shown, x_title) for line in drawn),
        x_title=x_title,
        x_ticks=_x_ticks(axes),
        y_ticks=tuple(Mark(axes.y(value), shown(value)) for value in y_ticks),
        lines=tuple(_line(line, axes) for line in drawn),
        dividers=_dividers(axes, dividers),
        legend=legend,
    )


def histogram(
    title: str,
    edges: Sequence[float],
    counts: Sequence[int],
    marks: Iterable[tuple[float, str]],
    x_title: str,
) -> Plot:
    """Bars between edges, with labelled places (the median, a limit) marked over them."""
    named = sorted(marks)
    y_ticks = ticks(0, max(counts, default=0) or 1, wanted=3)
    furthest = max([edges[-1], *(x for x, _ in named)])
    axes = Axes(edges[0], furthest, 0, y_ticks[-1])
    bars = [
        (
            axes.x(left),
            axes.y(height),
            round(axes.x(right) - axes.x(left), 1),
            round(axes.y(0) - axes.y(height), 1),
        )
        for left, right, height in zip(edges, edges[1:], counts, strict=False)
    ]
    return Plot(
        title=title,
        says=f"{title}: " + ", ".join(f"{label} at {x:,.0f}" for x, label in named) + ".",
        x_title=x_title,
        x_ticks=_x_ticks(axes),
        y_ticks=tuple(Mark(axes.y(value), f"{value:,.0f}") for value in y_ticks),
        bars=tuple(bars),
        dividers=_dividers(axes, named),
    )


def _finite(series: Series) -> Series:
    points = [(x, y) for x, y in series.points if math.isfinite(x) and math.isfinite(y)]
    return Series(series.name, points, series.style, series.markers)


def _thinned(series: Series) -> Series:
    """At most MAX_POINTS points, each the mean of its neighbours."""
    width = -(-len(series.points) // MAX_POINTS)
    if width <= 1:
        return series
    groups = [series.points[start : start + width] for start in range(0, len(series.points), width)]
    means = [(group[len(group) // 2][0], sum(y for _, y in group) / len(group)) for group in groups]
    return Series(series.name, means, series.style, series.markers)


def smoothed(points: Sequence[Point]) -> list[Point]:
    """Running means over a twelfth of the points: the course without the noise."""
    half = len(points) // 24
    return [
        (x, sum(y for _, y in window) / len(window))
        for index, (x, _) in enumerate(points)
        if (window := points[max(0, index - half) : index + half + 1])
    ]


def _line(series: Series, axes: Axes) -> Line:
    points = tuple((axes.x(x), axes.y(y)) for x, y in series.points)
    path = "M" + "L".join(f"{x:g},{y:g}" for x, y in points)
    return Line(series.name, series.style, path, points if series.markers else ())


def _x_ticks(axes: Axes) -> tuple[Mark, ...]:
    inside = [
        value for value in ticks(axes.x_low, axes.x_high, wanted=5) if axes.x_low <= value <= axes.x_high
    ]
    return tuple(Mark(axes.x(value), f"{value:,g}") for value in inside)


def _dividers(axes: Axes, places: Sequence[tuple[float, str]]) -> tuple[Mark, ...]:
    marks: list[Mark] = []
    for x, label in places:
        is_close = (
            bool(marks) and marks[-1].row == 0 and axes.x(x) - marks[-1].at < 6 * len(marks[-1].label) + 8
        )
        marks.append(Mark(axes.x(x), label, int(is_close)))
    return tuple(marks)


def _in_words(series: Series, shown: Callable[[float], str], x_title: str) -> str:
    (first_x, first), (last_x, last) = series.points[0], series.points[-1]
    name = f"{series.name}: " if series.name else ""
    if len(series.points) == 1:
        return f"{name}{shown(first)} at {x_title} {first_x:g}."
    return f"{name}{shown(first)} at {x_title} {first_x:g}, {shown(last)} at {x_title} {last_x:g}."
