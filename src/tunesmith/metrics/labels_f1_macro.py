"""Metric `labels_f1_macro`: F1 of answers that name any number of classes, every class counting alike."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._sets import f1_of, sums

METRIC = Metric(needs=("hits", "false_alarms", "misses"))


def labels_f1_macro(outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> dict[str, float]:
    """Mean F1 over the classes that occur as truth or in an answer (Sebastiani 2002, section 7.1), and that of each
    class as `labels_f1_macro/label`."""
    single = {label: f1_of(*sums(f"/{label}", outcomes, weights)) for label in outcomes.labels}
    there = [value for value in single.values() if not math.isnan(value)]
    whole = sum(there) / len(there) if there else float("nan")
    return {
        "labels_f1_macro": whole,
        **{f"labels_f1_macro/{label}": value for label, value in single.items()},
    }
