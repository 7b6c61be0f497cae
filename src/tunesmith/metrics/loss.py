"""Metric `loss`: nats per token of the reference answers."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._statistics import ratio_of


def nats_and_tokens(outcomes: Outcomes) -> tuple[Float[np.ndarray, " row"], Float[np.ndarray, " row"]] | None:
    """Negative log-likelihood and length of each reference answer; None if they are not known."""
    if not {"nats", "tokens"} <= outcomes.marks.keys():
        return None
    return outcomes.marks["nats"], outcomes.marks["tokens"]


_STATISTIC = ratio_of("loss", nats_and_tokens)
METRIC = Metric(better="lower", unit="nats", needs=("nats", "tokens", "scores"), statistic=_STATISTIC)


def loss(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """Negative log-likelihood of all answers by their number of tokens, so that every token counts alike."""
    return _STATISTIC.of(outcomes, weights)
