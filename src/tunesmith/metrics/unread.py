"""Metric `unread`: share of answers that could not be read."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._means import mean

METRIC = Metric(better="lower", needs=("text",))


def unread(outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> dict[str, float]:
    """Share of rows whose answer could not be read."""
    return {"unread": mean(outcomes.unread.astype(float), weights)}
