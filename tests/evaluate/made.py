"""Rows of made-up evaluations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tunesmith.evaluate.rows import Row
from tunesmith.tasks.classify import Classify

TASK = Classify(labels=["World", "Sports", "Business"], prompt="{text}")


def row(number: int, label: int, predicted: int | None, scores: Sequence[float] | None = None) -> Row:
    """A classified record; `predicted` is None if its answer was not read."""
    name = "I cannot say" if predicted is None else TASK.labels_in_order[predicted]
    return Row(
        record=f"news.jsonl:{number + 1}",
        sha256=f"{number:064x}",
        asked=f"article {number} \u2028 😀",
        reference=TASK.labels_in_order[label],
        answer=name,
        ended=True,
        reading=None if predicted is None else name,
        unread="is none of the labels" if predicted is None else None,
        label=label,
        predicted=predicted,
        marks={"correct": float(label == predicted)},
        scores=None if scores is None else tuple(scores),
        unit=f"news.jsonl:{number + 1}",
    )


def rows(number: int, right: float, seed: int, unread: float = 0.0, only: int | None = None) -> list[Row]:
    """As many rows, answered rightly in this share; with `only`, other classes than that are always right."""
    chance = np.random.default_rng(seed)
    made = []
    for index in range(number):
        label = index % 3
        is_right = chance.random() < right or (only is not None and label != only)
        predicted = label if is_right else int((label + chance.integers(1, 3)) % 3)
        made.append(row(index, label, None if chance.random() < unread else predicted))
    return made
