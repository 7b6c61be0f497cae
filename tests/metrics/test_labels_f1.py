import numpy as np
import pytest
from sklearn.metrics import f1_score

from tests.metrics.made import weights_of
from tests.metrics.several import several
from tunesmith.metrics.labels_f1 import labels_f1


def test_it_is_scikit_learns_micro_average() -> None:
    outcomes, true, named = several()
    for weights in (np.ones(60), weights_of(outcomes)):
        reference = f1_score(true, named, average="micro", sample_weight=weights)
        assert labels_f1(outcomes, weights)["labels_f1"] == pytest.approx(reference)
