"""Metric `exact_match`: share of written answers that say what an accepted one says."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._means import mean_mark

METRIC = Metric(needs=("correct", "text"))


def exact_match(outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> dict[str, float]:
    """Share of answers with an accepted answer's words (Rajpurkar et al. 2016); an unread one has none."""
    return {"exact_match": mean_mark("correct", outcomes, weights)}
