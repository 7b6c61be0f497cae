"""Answers that name any number of classes, and how scikit-learn sees them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tunesmith.metrics import Outcomes
from tunesmith.tasks._sets import marks_of_set

LABELS = ("a", "b", "c", "d")


def several(rows: int = 60, seed: int = 0) -> tuple[Outcomes, np.ndarray, np.ndarray]:
    """The outcomes, and as 0 and 1 by class what is true and what is named; the last class is never either."""
    chance = np.random.default_rng(seed)
    true = chance.random((rows, 4)) < [0.6, 0.3, 0.5, 0]
    named = np.where(chance.random((rows, 4)) < 0.3, ~true, true) & [True, True, True, False]

    def labels(row: Sequence[bool]) -> list[str]:
        return [label for label, there in zip(LABELS, row, strict=True) if there]

    marks = [marks_of_set(labels(one), labels(other)) for one, other in zip(true, named, strict=True)]
    names = dict.fromkeys(name for row in marks for name in row)
    columns = {name: np.array([row.get(name, np.nan) for row in marks]) for name in names}
    return Outcomes(columns, np.zeros(rows, bool), LABELS), true.astype(int), named.astype(int)
