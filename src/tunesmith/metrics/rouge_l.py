"""Metric `rouge_l`: longest common subsequence of words with the accepted answers."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._statistics import mark, mean_of

_STATISTIC = mean_of("rouge_l", mark("rouge_l"))
METRIC = Metric(needs=("rouge_l", "text"), statistic=_STATISTIC)


def rouge_l(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """Mean over answers of their ROUGE-L F-measure (Lin 2004); 0 for an unread one."""
    return _STATISTIC.of(outcomes, weights)
