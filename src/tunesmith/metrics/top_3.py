"""Metric `top_3`: how often the true class is among the 3 likeliest."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._likeliest import share_among_likeliest

METRIC = Metric(needs=("classes", "scores"))


def top_3(outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> dict[str, float]:
    """Share of rows whose true class is one of the 3 likeliest; absent where there are no more than 3 classes."""
    return {"top_3": share_among_likeliest(3, outcomes, weights)}
