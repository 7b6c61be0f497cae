"""How often the true class is among the likeliest ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Outcomes


def is_among_likeliest(number: int) -> Callable[[Outcomes], Float[np.ndarray, " row"] | None]:
    """A function that gives 1 for each row whose true class is one of so many likeliest, else 0: it is where fewer
    other classes than that are at least as likely. It gives None without probabilities, or where there are no more
    classes than that, so that none could be missed."""

    def values(outcomes: Outcomes) -> Float[np.ndarray, " row"] | None:
        if outcomes.scores is None or outcomes.truth is None or len(outcomes.labels) <= number:
            return None
        true = outcomes.scores[np.arange(len(outcomes.truth)), outcomes.truth][:, None]
        return ((outcomes.scores >= true).sum(1) <= number).astype(float)

    return values
