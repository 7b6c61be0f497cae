"""Metric `token_f1`: overlap of words with the accepted answers."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._means import mean_mark

METRIC = Metric(needs=("token_f1", "text"))


def token_f1(outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> dict[str, float]:
    """Mean over answers of their token F1 (Rajpurkar et al. 2016); 0 for an unread one."""
    return {"token_f1": mean_mark("token_f1", outcomes, weights)}
