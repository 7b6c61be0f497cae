from __future__ import annotations

import numpy as np
import pytest

from tests.metrics.made import marked
from tunesmith.metrics.perplexity import perplexity


def test_a_model_that_guesses_among_fifty_tokens_has_fifty() -> None:
    outcomes = marked({"nats": [3 * np.log(50), 7 * np.log(50)], "tokens": [3.0, 7.0]})
    assert perplexity(outcomes, np.ones(2))["perplexity"] == pytest.approx(50)
