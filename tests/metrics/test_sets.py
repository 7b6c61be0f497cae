import numpy as np

from tests.metrics.several import several
from tunesmith.metrics._sets import all_labels_counts, label_counts


def test_labels_are_counted_alone_and_together() -> None:
    outcomes, true, named = several()
    each = {one.name.partition("/")[2]: one for one in label_counts(outcomes)}
    assert each["d"].whole.sum() == 0
    assert each["a"].part.sum() == (true & named)[:, 0].sum()
    assert each["a"].whole.sum() == (true | named)[:, 0].sum()
    (together,) = all_labels_counts(outcomes)
    np.testing.assert_array_equal(together.part, sum(one.part for one in each.values()))
    np.testing.assert_array_equal(together.whole, sum(one.whole for one in each.values()))
