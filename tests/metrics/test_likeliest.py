import numpy as np

from tunesmith.metrics import Outcomes
from tunesmith.metrics._likeliest import is_among_likeliest


def test_a_class_as_likely_as_all_others_is_not_among_the_likeliest() -> None:
    scores = np.array([[0.25, 0.25, 0.25, 0.25], [0.1, 0.2, 0.3, 0.4]])
    outcomes = Outcomes(
        {}, np.zeros(2, bool), ("a", "b", "c", "d"), None, np.array([0, 2]), np.array([0, 3]), scores
    )
    three, two = is_among_likeliest(3)(outcomes), is_among_likeliest(2)(outcomes)
    assert three is not None
    assert two is not None
    assert (three[0], two[1]) == (0, 1)
    assert is_among_likeliest(4)(outcomes) is None
