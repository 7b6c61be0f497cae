"""Metric `loss`: nats per token of the reference answers."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._means import ratio

METRIC = Metric(better="lower", unit="nats", needs=("nats", "tokens", "scores"))


def loss(outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> dict[str, float]:
    """Negative log-likelihood of all answers by their number of tokens, so that every token counts alike."""
    if not {"nats", "tokens"} <= outcomes.marks.keys():
        return {"loss": float("nan")}
    return {"loss": ratio(outcomes.marks["nats"], outcomes.marks["tokens"], weights)}
