"""Metric `labels_f1_macro`: F1 of answers that name any number of classes, every class counting alike."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._sets import label_counts
from tunesmith.metrics._statistics import MeanOfShares, Shares

_STATISTIC = MeanOfShares("labels_f1_macro", Shares(label_counts, is_f1=True), with_shares=True)
METRIC = Metric(needs=("hits", "false_alarms", "misses"), statistic=_STATISTIC)


def labels_f1_macro(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """Mean F1 over the classes that occur as truth or in an answer (Sebastiani 2002, section 7.1), and that of each
    class as `labels_f1_macro/label`."""
    return _STATISTIC.of(outcomes, weights)
