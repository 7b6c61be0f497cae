import math

import numpy as np
import pytest
from sklearn.metrics import f1_score

from tests.metrics.made import weights_of
from tests.metrics.several import several
from tunesmith.metrics.labels_f1_macro import labels_f1_macro


def test_it_is_scikit_learns_macro_average_over_the_classes_that_occur() -> None:
    outcomes, true, named = several()
    for weights in (np.ones(60), weights_of(outcomes)):
        reference = f1_score(true, named, average=None, sample_weight=weights, zero_division=0)
        values = labels_f1_macro(outcomes, weights)
        assert [values[f"labels_f1_macro/{label}"] for label in "abc"] == pytest.approx(
            reference[:3].tolist()
        )
        assert math.isnan(values["labels_f1_macro/d"])
        assert values["labels_f1_macro"] == pytest.approx(reference[:3].mean())
