from __future__ import annotations

import numpy as np
from sklearn.metrics import confusion_matrix

from tests.metrics.made import classified, weights_of
from tunesmith.metrics._confusion import confusion


def test_it_is_scikit_learns_with_unread_answers_in_the_last_column() -> None:
    outcomes = classified()
    weights = weights_of(outcomes)
    predicted = np.where(outcomes.unread, 4, outcomes.predicted)
    expected = confusion_matrix(outcomes.truth, predicted, sample_weight=weights, labels=range(5))
    np.testing.assert_allclose(confusion(outcomes, weights), expected[:4])
