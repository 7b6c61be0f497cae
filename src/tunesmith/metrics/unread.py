"""Metric `unread`: share of answers that could not be read."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._statistics import share_of

_STATISTIC = share_of("unread", lambda outcomes: outcomes.unread.astype(float))
METRIC = Metric(better="lower", needs=("text",), statistic=_STATISTIC)


def unread(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """Share of rows whose answer could not be read."""
    return _STATISTIC.of(outcomes, weights)
