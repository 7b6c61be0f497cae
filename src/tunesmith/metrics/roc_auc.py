"""Metric `roc_auc`: how well the class probabilities rank the rows."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

from tunesmith.metrics import Metric, Outcomes

METRIC = Metric(needs=("classes", "scores"))


def roc_auc(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """Area under the ROC curve of each class against the rest, averaged over the classes that have a rest
    (Provost and Domingos 2000; Hand and Till 2001, section 2). With two classes both areas are the same."""
    if outcomes.scores is None or outcomes.truth is None:
        return {"roc_auc": float("nan")}
    areas = [
        area
        for label, ranks in enumerate(_ranks(outcomes))
        if (area := _area(ranks, outcomes.truth == label, weights)) is not None
    ]
    return {"roc_auc": float(np.mean(areas)) if areas else float("nan")}


@lru_cache(maxsize=2)
def _ranks(outcomes: Outcomes) -> list[Int[np.ndarray, " row"]]:
    """Rank of each row's score by class, equal scores alike. Sorted once for all weights."""
    assert outcomes.scores is not None
    return [np.unique(column, return_inverse=True)[1] for column in outcomes.scores.T]


def _area(
    ranks: Int[np.ndarray, " row"], is_class: np.ndarray, weights: Float[np.ndarray, " row"]
) -> float | None:
    """Chance that a row of the class ranks above one of the rest, ties counting half; None without both."""
    inside = np.bincount(ranks, weights * is_class)
    outside = np.bincount(ranks, weights) - inside
    pairs = inside.sum() * outside.sum()
    below = np.cumsum(outside) - outside / 2
    return float(inside @ below / pairs) if pairs > 0 else None
