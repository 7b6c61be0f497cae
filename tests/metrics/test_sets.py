import numpy as np

from tests.metrics.several import several
from tunesmith.metrics._sets import all_labels_counts, label_counts


def test_labels_are_counted_alone_and_together() -> None:
    outcomes, true, named = several()
    each = {one.name.partition("/")[2]: one for one in label_counts(outcomes)}
    assert each["d"].denominator.sum() == 0
    assert each["a"].numerator.sum() == (true & named)[:, 0].sum()
    assert each["a"].denominator.sum() == (true | named)[:, 0].sum()
    (together,) = all_labels_counts(outcomes)
    np.testing.assert_array_equal(together.numerator, sum(one.numerator for one in each.values()))
    np.testing.assert_array_equal(together.denominator, sum(one.denominator for one in each.values()))
