"""Metric `labels_f1`: F1 of answers that name any number of classes, every label counting alike."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._sets import f1_of, sums

METRIC = Metric(needs=("hits", "false_alarms", "misses"))


def labels_f1(outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> dict[str, float]:
    """F1 over all labels of all rows (micro average: Sebastiani 2002, section 7.1)."""
    return {"labels_f1": f1_of(*sums("", outcomes, weights))}
