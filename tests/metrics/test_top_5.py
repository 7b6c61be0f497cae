from tests.metrics.likeliest import agrees_with_scikit_learn
from tunesmith.metrics.top_5 import top_5


def test_it_is_scikit_learns_top_k_accuracy() -> None:
    agrees_with_scikit_learn(top_5, "top_5", 5)
