"""Weighted counts of true against predicted class, and what follows from them for each class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Outcomes


def confusion(outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> Float[np.ndarray, "label column"]:
    """Weight of the rows by true class (row) and predicted class (column); the last column is unread."""
    assert outcomes.truth is not None
    assert outcomes.predicted is not None
    num_labels = len(outcomes.labels)
    column = np.where(outcomes.predicted < 0, num_labels, outcomes.predicted)
    cells = outcomes.truth * (num_labels + 1) + column
    return np.bincount(cells, weights, num_labels * (num_labels + 1)).reshape(num_labels, num_labels + 1)


@dataclass(frozen=True, eq=False)
class ClassCounts:
    """Weights by class."""

    right: Float[np.ndarray, "label"]
    """Of the class and predicted so."""
    true: Float[np.ndarray, "label"]
    """Of the class; an unread answer counts here and is wrong."""
    predicted: Float[np.ndarray, "label"]
    """Predicted as the class; an unread answer is no prediction."""

    @staticmethod
    def of(outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> ClassCounts:
        """The counts of all rows."""
        table = confusion(outcomes, weights)
        return ClassCounts(np.diag(table), table.sum(1), table[:, :-1].sum(0))

    @property
    def seen(self) -> np.ndarray:
        """True for each class that is anybody's true or predicted class."""
        return (self.true > 0) | (self.predicted > 0)

    @property
    def precision(self) -> Float[np.ndarray, "label"]:
        """Share of predictions that are right; 0 for a class never predicted, NaN if it never occurs."""
        return self._share(self.right, self.predicted)

    @property
    def recall(self) -> Float[np.ndarray, "label"]:
        """Share of the class that is found; 0 for a class that is only predicted, NaN if it never occurs."""
        return self._share(self.right, self.true)

    @property
    def f1(self) -> Float[np.ndarray, "label"]:
        """Harmonic mean of precision and recall (van Rijsbergen 1979, chapter 7); NaN if it never occurs."""
        return self._share(2 * self.right, self.true + self.predicted)

    def _share(self, part: np.ndarray, whole: np.ndarray) -> np.ndarray:
        return np.where(self.seen, part / np.where(whole > 0, whole, 1), np.nan)


def by_class(name: str, values: Float[np.ndarray, "label"], outcomes: Outcomes) -> dict[str, float]:
    """A value for each class as `name/label`, and that of the positive class, if there is one, as `name`."""
    named = {f"{name}/{label}": float(value) for label, value in zip(outcomes.labels, values, strict=True)}
    return named if outcomes.positive is None else {name: float(values[outcomes.positive]), **named}
