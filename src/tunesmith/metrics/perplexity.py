"""Metric `perplexity`: how many tokens the model hesitates between."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._statistics import Sums, ratio_of
from tunesmith.metrics.loss import nats_and_tokens

_LOSS = ratio_of("perplexity", nats_and_tokens)
_STATISTIC = Sums(_LOSS.columns, lambda sums: {"perplexity": np.exp(_LOSS.values(sums)["perplexity"])})
METRIC = Metric(better="lower", unit="number", needs=("nats", "tokens", "scores"), statistic=_STATISTIC)


def perplexity(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """Exponential of the loss per token (Jelinek et al. 1977)."""
    return _STATISTIC.of(outcomes, weights)
