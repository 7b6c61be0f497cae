"""The registry of metrics: one file per metric. Marks of rows in, a number (or one per class) out. No torch.

A metric is a function named after its file. It is handed all rows at once, with a weight per row: its interval comes
from calling it again without each unit of rows. `METRIC` may say what kind of number it is (`_statistics.py`), which
makes interval and test faster and, for shares and medians, better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from jaxtyping import Float, Int

if TYPE_CHECKING:
    from tunesmith.metrics._statistics import Statistic


@dataclass(frozen=True, eq=False)
class Outcomes:
    """The rows of one evaluation as columns."""

    marks: Mapping[str, Float[np.ndarray, " row"]]
    """By the name that the task gave it; NaN where the row has none."""
    unread: np.ndarray
    """True where the answer could not be read; shape (row,)."""
    labels: tuple[str, ...] = ()
    """Class names in order, for a task that has classes."""
    positive: int | None = None
    """Index of the positive class of a binary task that names one."""
    truth: Int[np.ndarray, " row"] | None = None
    """Index of the true class."""
    predicted: Int[np.ndarray, " row"] | None = None
    """Index of the predicted class; -1 where unread."""
    scores: Float[np.ndarray, "row label"] | None = None
    """Probability of each class, where the engine gave them."""


@dataclass(frozen=True)
class Metric:
    """How a metric's numbers are to be read."""

    better: Literal["higher", "lower"] = "higher"
    unit: Literal["share", "nats", "number"] = "share"
    """A share is shown in per cent."""
    needs: tuple[str, ...] = ()
    """What it is made of: `classes`, `scores` or `text` (what the engine gives), or names of marks."""
    per_class: bool = False
    """True if it is a number for each class, and one of its own only for a task with a positive class."""
    statistic: Statistic | None = None
    """What kind of number it is; None for any function of weighted rows."""
    most: float | None = None
    """The largest possible value of a number that is at least 0; None is 1 for a share, and no limit for the rest."""

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Least and largest possible value; None if there is no largest."""
        if self.most is not None:
            return 0.0, self.most
        return (0.0, 1.0) if self.unit == "share" else None


class MetricFunction(Protocol):
    """What a metric's file holds: a function of this form, and `METRIC`."""

    def __call__(self, outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
        """Values by name, the same names for any weights. A name without a slash is the metric itself
        (`f1_macro`), `f1/World` is one class of it. NaN where there is nothing to measure."""
        ...
