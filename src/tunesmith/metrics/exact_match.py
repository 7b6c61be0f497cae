"""Metric `exact_match`: share of written answers that say what an accepted one says."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._statistics import mark, share_of

_STATISTIC = share_of("exact_match", mark("correct"))
METRIC = Metric(needs=("correct", "text"), statistic=_STATISTIC)


def exact_match(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """Share of answers with an accepted answer's words (Rajpurkar et al. 2016); an unread one has none."""
    return _STATISTIC.of(outcomes, weights)
