"""Metric `labels_f1`: F1 of answers that name any number of classes, every label counting alike."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._sets import all_labels_counts
from tunesmith.metrics._statistics import Shares

_STATISTIC = Shares(all_labels_counts, is_f1=True)
METRIC = Metric(needs=("hits", "false_alarms", "misses"), statistic=_STATISTIC)


def labels_f1(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """F1 over all labels of all rows (micro average: Sebastiani 2002, section 7.1)."""
    return _STATISTIC.of(outcomes, weights)
