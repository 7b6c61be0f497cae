"""`classes.json`: the classes of a stage's training examples."""

from __future__ import annotations

from dataclasses import dataclass

from tunesmith.runs.json_file import JsonFile


@dataclass(frozen=True)
class TrainedClasses:
    """The content of `classes.json`."""

    labels: tuple[str, ...]
    counts: tuple[int, ...]
    """Training examples of each class; repeated ones count each time."""
    weights: tuple[float, ...] | None
    """Loss weight of an example of each class; None if all have the same weight."""


CLASSES = JsonFile[TrainedClasses]("classes.json", TrainedClasses)
