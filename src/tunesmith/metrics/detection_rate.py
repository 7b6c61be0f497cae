"""Metric `detection_rate`: share of pictures with something to find in which anything is found."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._statistics import mark, share_of

_STATISTIC = share_of("detection_rate", mark("detected"))
METRIC = Metric(needs=("detected", "text"), statistic=_STATISTIC)


def detection_rate(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """Share of answers with at least one box that can be read, right or wrong, where there is something to find."""
    return _STATISTIC.of(outcomes, weights)
