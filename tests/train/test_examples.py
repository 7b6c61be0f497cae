import numpy as np

from tunesmith.data.example import Example
from tunesmith.train.examples import Examples


def make(number: int, length: int) -> Example:
    return Example(
        f"a:{number}", np.arange(length, dtype=np.int32), np.arange(length) >= length - 1, (number,)
    )


def test_examples_come_back_as_they_went_in() -> None:
    examples = Examples(make(number, number + 2) for number in range(5))
    assert len(examples) == 5
    for number, example in enumerate(examples):
        assert example.record == f"a:{number}"
        assert example.classes == (number,)
        assert example.tokens.tolist() == list(range(number + 2))
        assert example.trained.tolist() == [False] * (number + 1) + [True]
    assert examples.lengths.tolist() == [2, 3, 4, 5, 6]
    assert [examples.length(index) for index in range(5)] == [2, 3, 4, 5, 6]
    assert examples.trained_share == 5 / 20


def test_no_examples_are_no_examples() -> None:
    assert len(Examples([])) == 0
    assert Examples([]).trained_share == 0
