"""Counts of boxes found, predicted and there, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Outcomes
from tunesmith.metrics._statistics import Count, Sums, count_of

THRESHOLDS = tuple(range(50, 100, 5))
"""Per cent of IoU at which a box counts as found (Lin et al. 2014, COCO's evaluation)."""

_LEVELS = np.linspace(0, 1, 101)
_COLUMNS = ("objects", "predicted", *(f"matched_{threshold}" for threshold in THRESHOLDS))

NEEDED = (*_COLUMNS, "text")
"""What average precision is made of."""


def box_f1_counts(outcomes: Outcomes) -> Iterator[Count]:
    """Boxes of each row that are found, of those that are there or predicted."""
    objects, predicted, matched = _at_half(outcomes)
    yield count_of("box_f1", matched, objects + predicted - matched)


def box_precision_counts(outcomes: Outcomes) -> Iterator[Count]:
    """Boxes of each row that are found, of those predicted; if none is, precision is 0 where some are there."""
    objects, predicted, matched = _at_half(outcomes)
    yield count_of("box_precision", matched, predicted, seen=objects + predicted)


def box_recall_counts(outcomes: Outcomes) -> Iterator[Count]:
    """Boxes of each row that are found, of those that are there; if none is, recall is 0 where some are predicted."""
    objects, predicted, matched = _at_half(outcomes)
    yield count_of("box_recall", matched, objects, seen=objects + predicted)


def average_precision(name: str, thresholds: Sequence[int] = THRESHOLDS) -> Sums:
    """Mean over thresholds and labels of COCO's average precision (Lin et al. 2014), NaN without true boxes.

    A written answer gives no confidence, so all boxes are equally sure, and the curve of precision over recall is a
    single point: its precision at each of the 101 levels up to its recall, and 0 above. pycocotools breaks such ties
    by the order of the pictures, which means nothing; this is what it gives in the least lucky order.
    """

    def values(sums: np.ndarray, in_steps: bool = True) -> dict[str, np.ndarray]:
        counts = sums.reshape(*sums.shape[:-1], -1, len(_COLUMNS))
        objects, predicted = counts[..., :1], counts[..., 1:2]
        matched = counts[..., [_COLUMNS.index(f"matched_{threshold}") for threshold in thresholds]]
        is_there = objects[..., 0] > 0
        precision = matched / np.where(predicted > 0, predicted, 1)
        recall = matched / np.where(objects > 0, objects, 1)
        # How many of the 101 levels the recall reaches; without steps, their number on average.
        reached = np.searchsorted(_LEVELS, recall, side="right") if in_steps else 100 * recall + 0.5
        of_label = (precision * reached / len(_LEVELS)).mean(-1)
        number = is_there.sum(-1)
        total = np.where(is_there, of_label, 0.0).sum(-1)
        return {name: np.where(number > 0, total / np.maximum(number, 1), np.nan)}

    return Sums(_by_label, values, smooth=lambda sums: values(sums, in_steps=False))


def _at_half(outcomes: Outcomes) -> list[np.ndarray]:
    """Numbers of true boxes, of predicted boxes, and of those matched with an IoU of 0.5 or more, row by row."""
    return [np.nan_to_num(outcomes.marks[name]) for name in ("objects", "predicted", "matched_50")]


@lru_cache(maxsize=2)
def _by_label(outcomes: Outcomes) -> Float[np.ndarray, "row count"]:
    """Counts of each row, label by label, or without labels as one. Laid out once for all thresholds."""
    labels = [f"/{name.partition('/')[2]}" for name in outcomes.marks if name.startswith("objects/")]
    columns = [[outcomes.marks[f"{name}{label}"] for name in _COLUMNS] for label in labels or [""]]
    rows = len(outcomes.unread)
    return np.ascontiguousarray(
        np.nan_to_num(np.array(columns)).reshape(len(columns) * len(_COLUMNS), rows).T
    )
