"""Metric `token_f1`: overlap of words with the accepted answers."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._statistics import mark, mean_of

_STATISTIC = mean_of("token_f1", mark("token_f1"))
METRIC = Metric(needs=("token_f1", "text"), statistic=_STATISTIC)


def token_f1(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """Mean over answers of their token F1 (Rajpurkar et al. 2016); 0 for an unread one."""
    return _STATISTIC.of(outcomes, weights)
