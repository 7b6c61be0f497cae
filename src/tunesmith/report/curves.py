"""The course of training as plots: of one run stage after stage, or of many runs on one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from tunesmith.report import words
from tunesmith.report.charts import Plot, Point, Series, line_plot, smoothed
from tunesmith.report.run_folder import RunView, StageRecord
from tunesmith.train.observers import Update

NUM_STYLES = 6
"""Lines of many runs have this many colours and dash patterns."""

_short = "{:.3g}".format
_whole = "{:,.0f}".format


def training_curves(stages: Sequence[StageRecord], metric: str) -> list[Plot]:
    """Loss, a metric on validation records, learning rate, speed, memory and gradient norm by update."""
    course = Course(stages)
    plots = [
        course.plot(
            "Training loss, nats per trained token", lambda update: update.loss, _short, is_noisy=True
        ),
        course.validation_plot(metric),
        course.plot("Learning rate", lambda update: update.learning_rate, words.rate),
        course.plot(
            "Tokens per second", lambda update: update.tokens / (update.seconds or 1), _whole, is_noisy=True
        ),
        course.plot("Peak memory, GiB", lambda update: update.memory_gib, _short),
        course.plot(
            "Gradient norm before clipping", lambda update: update.gradient_norm, _short, is_noisy=True
        ),
    ]
    return [plot for plot in plots if plot is not None]


def other_curves(stages: Sequence[StageRecord], metric: str) -> list[Plot]:
    """The other metrics on validation records."""
    course = Course(stages)
    plots = [course.validation_plot(name) for name in course.metrics if name != metric]
    return [plot for plot in plots if plot is not None]


def overlaid_curves(runs: Sequence[RunView], names: Sequence[str], metric: str) -> list[Plot]:
    """Training loss, and a metric on validation records, a line for each run."""
    loss, validation = [], []
    for number, (run, name) in enumerate(zip(runs, names, strict=True)):
        course, style = Course(run.stages), f"s{number % NUM_STYLES}"
        losses = [
            point for points in course.from_updates(lambda update: update.loss) for point in smoothed(points)
        ]
        scored = [point for points in course.from_evaluations(metric) for point in points]
        loss.append(Series(name, losses, style))
        validation.append(Series(name, scored, style, markers=True))
    plots = [
        line_plot("Training loss, running mean", loss, _short, legend=True),
        line_plot(f"{words.title(metric)} on validation records", validation, _short, legend=True),
    ]
    return [plot for plot in plots if plot is not None]


class Course:
    """Stages laid one after the other on one axis of updates."""

    def __init__(self, stages: Sequence[StageRecord]) -> None:
        self.stages = stages
        self.starts: list[int] = []
        end = 0
        for stage in stages:
            self.starts.append(end)
            end += stage.last_step

    @property
    def dividers(self) -> list[tuple[float, str]]:
        """Where each stage begins, if there are several."""
        names = [stage.name for stage in self.stages]
        return list(zip(self.starts, names, strict=True)) if len(names) > 1 else []

    @property
    def metrics(self) -> list[str]:
        """Metrics of all records that were had on validation records."""
        every = (name for stage in self.stages for event in stage.evaluations for name in event.metrics)
        return list(dict.fromkeys(name for name in every if "/" not in name))

    def from_updates(self, value: Callable[[Update], float]) -> Iterator[list[Point]]:
        """A value of each update, stage by stage."""
        for start, stage in zip(self.starts, self.stages, strict=True):
            yield [(start + update.step, value(update)) for update in stage.updates]

    def from_evaluations(self, metric: str) -> Iterator[list[Point]]:
        """A metric of each evaluation that has it, stage by stage."""
        for start, stage in zip(self.starts, self.stages, strict=True):
            yield [
                (start + event.step, event.metrics[metric])
                for event in stage.evaluations
                if metric in event.metrics
            ]

    def plot(
        self,
        title: str,
        value: Callable[[Update], float],
        shown: Callable[[float], str],
        is_noisy: bool = False,
    ) -> Plot | None:
        """A value of each update; a noisy one faintly, with its running mean over it."""
        series = []
        for stage, points in zip(self.stages, self.from_updates(value), strict=True):
            series.append(Series(stage.name, points, "faint" if is_noisy else "tuned"))
            if is_noisy:
                series.append(Series(f"{stage.name}, running mean", smoothed(points), "tuned"))
        return line_plot(title, series, shown, dividers=self.dividers)

    def validation_plot(self, metric: str) -> Plot | None:
        """A metric of the evaluations during training."""
        series = [
            Series(stage.name, points, markers=True)
            for stage, points in zip(self.stages, self.from_evaluations(metric), strict=True)
        ]
        return line_plot(
            f"{words.title(metric)} on validation records", series, _short, dividers=self.dividers
        )
