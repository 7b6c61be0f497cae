from tests.metrics.likeliest import agrees_with_scikit_learn
from tunesmith.metrics.top_3 import top_3


def test_it_is_scikit_learns_top_k_accuracy() -> None:
    agrees_with_scikit_learn(top_3, "top_3", 3)
