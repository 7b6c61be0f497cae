"""Metric `perplexity`: how many tokens the model hesitates between."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics.loss import loss

METRIC = Metric(better="lower", unit="number", needs=("nats", "tokens", "scores"))


def perplexity(outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> dict[str, float]:
    """Exponential of the loss per token (Jelinek et al. 1977)."""
    return {"perplexity": float(np.exp(loss(outcomes, weights)["loss"]))}
