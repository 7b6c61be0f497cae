"""Metric `top_3`: how often the true class is among the 3 likeliest."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._likeliest import is_among_likeliest
from tunesmith.metrics._statistics import share_of

_STATISTIC = share_of("top_3", is_among_likeliest(3))
METRIC = Metric(needs=("classes", "scores"), statistic=_STATISTIC)


def top_3(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """Share of rows whose true class is one of the 3 likeliest; absent where there are no more than 3 classes."""
    return _STATISTIC.of(outcomes, weights)
