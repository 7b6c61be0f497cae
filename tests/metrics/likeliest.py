"""How scikit-learn sees the likeliest classes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import top_k_accuracy_score

from tests.metrics.made import classified, weights_of
from tunesmith.metrics import MetricFunction


def agrees_with_scikit_learn(function: MetricFunction, name: str, number: int) -> None:
    """True of all rows and of a resample; and there is no number where nothing could be missed."""
    outcomes = classified(8, scored=True)
    assert outcomes.scores is not None
    # Ties are broken by the order of classes there, and count as missed here.
    scores = outcomes.scores + np.random.default_rng(3).uniform(0, 1e-6, outcomes.scores.shape)
    outcomes = replace(outcomes, scores=scores)
    for weights in (np.ones(400), weights_of(outcomes)):
        reference = top_k_accuracy_score(
            outcomes.truth, scores, k=number, labels=range(8), sample_weight=weights
        )
        assert function(outcomes, weights)[name] == pytest.approx(reference)
    assert math.isnan(function(classified(3, scored=True), np.ones(400))[name])
    assert math.isnan(function(classified(8), np.ones(400))[name])
