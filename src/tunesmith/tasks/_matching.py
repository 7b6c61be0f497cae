"""Which of the boxes that a model names is which of the true ones, and what numbers come of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

from tunesmith.images.boxes import Box
from tunesmith.metrics._boxes import THRESHOLDS

_Pairs = Float[np.ndarray, "said true"]


def box_marks(said: Sequence[Box], true: Sequence[Box], labels: Sequence[str] = ()) -> Mapping[str, float]:
    """Marks of one answer that was read.

    `iou` is the mean over the true boxes of the IoU with the box matched to it, 0 where there is none; the matching
    is the one with the largest sum. Where nothing is to be found, it is 1 if nothing is said, and else 0.
    `predicted`, `objects` and `matched_50` to `matched_95` are counts. With `labels`, boxes match only if they have
    the same one, and each label of the picture gets its own counts, such as `objects/cat`.
    """
    pairs = ious(said, true)
    if labels:
        pairs = np.where(_same_label(said, true), pairs, 0.0)
    iou = _best(pairs).sum() / len(true) if true else float(not said)
    marks = {"iou": float(iou), **_counts(pairs)}
    for label in labels:
        rows = [box.label == label for box in said]
        columns = [box.label == label for box in true]
        if any(rows) or any(columns):
            own = pairs[np.array(rows, bool)][:, np.array(columns, bool)]
            marks |= {f"{name}/{label}": value for name, value in _counts(own).items()}
    return marks


def ious(said: Sequence[Box], true: Sequence[Box]) -> _Pairs:
    """Area that two boxes share by the area that they cover together (Everingham et al. 2010, section 4.2)."""
    one = np.array([box.corners for box in said], float).reshape(-1, 1, 4)
    other = np.array([box.corners for box in true], float).reshape(1, -1, 4)
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    shared = np.clip(sides, 0, None).prod(-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(-1) for boxes in (one, other)]
    return shared / (areas[0] + areas[1] - shared)


def _counts(pairs: _Pairs) -> dict[str, float]:
    counts = {"predicted": float(pairs.shape[0]), "objects": float(pairs.shape[1])}
    for threshold in THRESHOLDS:
        counts[f"matched_{threshold}"] = float(_best((pairs >= threshold / 100).astype(float)).sum())
    return counts


def _best(pairs: _Pairs) -> Float[np.ndarray, " match"]:
    """Values of the pairs, each box in at most one, that have the largest sum (Kuhn 1955)."""
    from scipy.optimize import linear_sum_assignment

    return pairs[linear_sum_assignment(pairs, maximize=True)]


def _same_label(said: Sequence[Box], true: Sequence[Box]) -> Bool[np.ndarray, "said true"]:
    return np.array([[one.label == other.label for other in true] for one in said], bool).reshape(
        len(said), len(true)
    )
