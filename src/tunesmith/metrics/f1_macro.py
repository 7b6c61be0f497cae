"""Metric `f1_macro`: F1, every class counting alike."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._confusion import class_f1_counts
from tunesmith.metrics._statistics import MeanOfShares, Shares

_STATISTIC = MeanOfShares("f1_macro", Shares(class_f1_counts, is_f1=True))
METRIC = Metric(needs=("classes",), statistic=_STATISTIC)


def f1_macro(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """Mean F1 over the classes that occur as truth or as prediction (Sebastiani 2002, section 7.1)."""
    return _STATISTIC.of(outcomes, weights)
