"""How often the true class is among the likeliest ones."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Outcomes
from tunesmith.metrics._means import mean


def share_among_likeliest(number: int, outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> float:
    """Share of rows whose true class is one of so many likeliest; NaN without probabilities, or where there are no more
    classes than that, so that it could not be missed."""
    if outcomes.scores is None or outcomes.truth is None or len(outcomes.labels) <= number:
        return float("nan")
    return mean(_is_among(number, outcomes), weights)


@lru_cache(maxsize=4)
def _is_among(number: int, outcomes: Outcomes) -> Float[np.ndarray, "row"]:
    """1 where fewer than so many other classes are at least as likely as the true one; found once for all
    resamples."""
    assert outcomes.scores is not None
    assert outcomes.truth is not None
    true = outcomes.scores[np.arange(len(outcomes.truth)), outcomes.truth][:, None]
    return ((outcomes.scores >= true).sum(1) <= number).astype(float)
