"""Classes of unlike size in a report: how many training examples each had, what they counted, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tunesmith.report import words
from tunesmith.report.charts import Plot, Series, line_plot
from tunesmith.report.curves import NUM_STYLES, Course
from tunesmith.report.run_folder import RunView
from tunesmith.runs.stage import TrainedClasses

TOLD_BY = "recall"
"""The metric of one class: the share of its records that are answered rightly."""


@dataclass(frozen=True)
class SizeRow:
    """One class of the last stage."""

    label: str
    count: int
    """Training examples."""
    weight: float | None
    """What each of them counts; None if all classes count alike."""


def size_rows(run: RunView) -> list[SizeRow]:
    """Every class with its training examples, in the order of the labels; none if they are not known."""
    classes = _last(run)
    if classes is None:
        return []
    weights = classes.weights or (None,) * len(classes.labels)
    return [SizeRow(*one) for one in zip(classes.labels, classes.counts, weights, strict=True)]


def size_plot(run: RunView) -> Plot | None:
    """Share of each class that is answered rightly, by its number of training examples; None if that is the same for
    all, or there is no evaluation."""
    counts = {row.label: row.count for row in size_rows(run)}
    if len(set(counts.values())) < 2:
        return None
    series = []
    for name, evaluated in (("base", run.base), ("tuned", run.tuned)):
        metrics = evaluated.scores.metrics if evaluated else {}
        points = sorted(
            (float(count), metrics[f"{TOLD_BY}/{label}"].value)
            for label, count in counts.items()
            if f"{TOLD_BY}/{label}" in metrics
        )
        series.append(Series(name, points, f"dots {name}", markers=True))
    return line_plot(
        "Share of a class answered rightly by the number of examples of its class in training",
        series,
        lambda value: f"{value:.0%}",
        x_title="training examples",
        legend=True,
    )


def class_curves(run: RunView) -> Plot | None:
    """Share of each class that is answered rightly on validation records in the course of training; with more classes
    than can be told apart, all faintly and their mean over them."""
    course = Course(run.stages)
    names = dict.fromkeys(
        name
        for stage in run.stages
        for event in stage.evaluations
        for name in event.metrics
        if name.startswith(f"{TOLD_BY}/")
    )
    if not names:
        return None
    are_few = len(names) <= NUM_STYLES
    series = []
    for number, name in enumerate(names):
        points = [point for points in course.from_evaluations(name) for point in points]
        style = f"s{number}" if are_few else "faint"
        series.append(Series(name.partition("/")[2], points, style, markers=are_few))
    if not are_few:
        values: dict[float, list[float]] = {}
        for one in series:
            for x, y in one.points:
                values.setdefault(x, []).append(y)
        means = [(x, sum(ys) / len(ys)) for x, ys in sorted(values.items())]
        series.append(Series("mean of classes", means, "tuned", markers=True))
    title = "Share of each class answered rightly on validation records"
    return line_plot(title, series, lambda value: f"{value:.0%}", dividers=course.dividers, legend=are_few)


def baselines(run: RunView) -> Iterator[tuple[str, str]]:
    """What is reached without a model, as name and text: by chance, and by always answering the class that is most
    frequent in training, or any of those that are equally frequent."""
    evaluated = run.tuned or run.base
    if evaluated is None or evaluated.scores.confusion is None:
        return
    table = evaluated.scores.confusion
    yield f"One of {len(table.labels)} by chance", words.number(1 / len(table.labels), "share")
    classes = _last(run)
    if classes is not None and classes.labels == table.labels:
        total, most = sum(map(sum, table.counts)) or 1, max(classes.counts)
        commonest = [index for index, count in enumerate(classes.counts) if count == most]
        shares = [sum(table.counts[index]) / total for index in commonest]
        least, largest = (words.number(share, "share") for share in (min(shares), max(shares)))
        yield (
            _always([classes.labels[index] for index in commonest], len(classes.labels)),
            least if least == largest else f"{least} to {largest}, whichever it is",
        )


def _always(commonest: list[str], num_classes: int) -> str:
    if len(commonest) == 1:
        return f"Always {commonest[0]}, the most frequent in training"
    if len(commonest) == num_classes:
        return "One class, always (in training all are equally frequent)"
    return f"One class, always, of the {len(commonest)} most frequent in training"


def _last(run: RunView) -> TrainedClasses | None:
    found = [stage.classes for stage in run.stages if stage.classes is not None]
    return found[-1] if found else None
