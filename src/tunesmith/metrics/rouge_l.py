"""Metric `rouge_l`: longest common subsequence of words with the accepted answers."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._means import mean_mark

METRIC = Metric(needs=("rouge_l", "text"))


def rouge_l(outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> dict[str, float]:
    """Mean over answers of their ROUGE-L F-measure (Lin 2004); 0 for an unread one."""
    return {"rouge_l": mean_mark("rouge_l", outcomes, weights)}
