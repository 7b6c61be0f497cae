import numpy as np
import pytest
from jaxtyping import TypeCheckError

from tunesmith.batching.example import Example


def test_an_example_is_as_long_as_its_tokens_whatever_is_trained() -> None:
    assert len(Example("a:1", np.arange(5, dtype=np.int32), np.zeros(5, bool))) == 5
    assert len(Example("a:1", np.empty(0, np.int32), np.empty(0, bool))) == 0


@pytest.mark.parametrize(
    ("tokens", "trained"),
    [
        (np.arange(5, dtype=np.int32), np.zeros(4, bool)),
        (np.arange(5, dtype=np.int64), np.zeros(5, bool)),
        (np.arange(5, dtype=np.int32), np.zeros(5, np.int32)),
        (np.zeros((1, 5), np.int32), np.zeros((1, 5), bool)),
    ],
    ids=["mask-too-short", "wide-tokens", "mask-of-numbers", "batched"],
)
def test_a_mask_that_does_not_fit_its_tokens_never_gets_past_the_tests(
    tokens: np.ndarray, trained: np.ndarray
) -> None:
    with pytest.raises(TypeCheckError):
        Example("a:1", tokens, trained)
