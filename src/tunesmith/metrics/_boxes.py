"""Weighted counts of boxes found, named and there, and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Outcomes

THRESHOLDS = tuple(range(50, 100, 5))
"""Per cent of IoU at which a box counts as found (Lin et al. 2014, COCO's evaluation)."""

_LEVELS = np.linspace(0, 1, 101)
_COLUMNS = ("objects", "predicted", *(f"matched_{threshold}" for threshold in THRESHOLDS))

NEEDED = (*_COLUMNS, "text")
"""What average precision is made of."""


def found_at_half(outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> tuple[float, float, float]:
    """Numbers of true boxes, of predicted boxes, and of those matched with an IoU of 0.5 or more."""
    objects, predicted, matched = (
        float(weights @ np.nan_to_num(outcomes.marks[name]))
        for name in ("objects", "predicted", "matched_50")
    )
    return objects, predicted, matched


def share(part: float, whole: float, is_measured: bool) -> float:
    """The part of a whole; 0 of nothing, NaN if there is nothing to measure."""
    if not is_measured:
        return float("nan")
    return part / whole if whole > 0 else 0.0


def average_precision(
    outcomes: Outcomes, weights: Float[np.ndarray, "row"], thresholds: Sequence[int] = THRESHOLDS
) -> float:
    """Mean over thresholds and labels of COCO's average precision (Lin et al. 2014), NaN without true boxes.

    A written answer gives no confidence, so all boxes are equally sure, and the curve of precision over recall is a
    single point: its precision at each of the 101 levels up to its recall, and 0 above. pycocotools breaks such ties
    by the order of the pictures, which means nothing; this is what it gives in the least lucky order.
    """
    totals = (weights @ _by_label(outcomes)).reshape(-1, len(_COLUMNS))
    objects, predicted = totals[:, :1], totals[:, 1:2]
    matched = totals[:, [_COLUMNS.index(f"matched_{threshold}") for threshold in thresholds]]
    is_there = objects[:, 0] > 0
    if not is_there.any():
        return float("nan")
    precision = matched / np.where(predicted > 0, predicted, 1)
    reached = np.searchsorted(_LEVELS, matched / np.where(objects > 0, objects, 1), side="right")
    return float((precision * reached / len(_LEVELS))[is_there].mean())


@lru_cache(maxsize=2)
def _by_label(outcomes: Outcomes) -> Float[np.ndarray, "row count"]:
    """Counts of each row, label by label, or without labels as one. Laid out once for all bootstrap resamples."""
    labels = [f"/{name.partition('/')[2]}" for name in outcomes.marks if name.startswith("objects/")]
    columns = [[outcomes.marks[f"{name}{label}"] for name in _COLUMNS] for label in labels or [""]]
    rows = len(outcomes.unread)
    return np.ascontiguousarray(
        np.nan_to_num(np.array(columns)).reshape(len(columns) * len(_COLUMNS), rows).T
    )
