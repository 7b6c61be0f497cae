"""Metric `top_5`: how often the true class is among the 5 likeliest."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._likeliest import share_among_likeliest

METRIC = Metric(needs=("classes", "scores"))


def top_5(outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> dict[str, float]:
    """Share of rows whose true class is one of the 5 likeliest; absent where there are no more than 5 classes."""
    return {"top_5": share_among_likeliest(5, outcomes, weights)}
