import numpy as np
import torch

from tunesmith.batching.collator import collate, to_device
from tunesmith.batching.example import Example


def example(tokens: list[int], trained: list[bool]) -> Example:
    return Example("a:1", np.array(tokens, np.int32), np.array(trained))


def test_examples_lie_end_to_end_and_each_token_is_predicted_from_the_one_before_it() -> None:
    batch = collate([example([5, 6, 7], [False, True, True]), example([8, 9], [False, True])])
    assert batch.tokens.tolist() == [5, 6, 7, 8, 9]
    assert batch.positions.tolist() == [[0, 1, 2, 0, 1]]
    assert batch.predicting.tolist() == [0, 1, 3]
    assert batch.targets.tolist() == [6, 7, 9]
    assert batch.segments.starts.tolist() == [0, 3]
    assert batch.segments.boundaries.tolist() == [0, 3, 5]
    assert batch.segments.max_length == 3


def test_the_first_token_of_an_example_is_not_predicted_from_the_example_before_it() -> None:
    batch = collate([example([5, 6], [True, True]), example([8, 9], [True, True])])
    assert batch.targets.tolist() == [6, 9]
    assert batch.num_trained == 2


def test_on_a_cpu_nothing_is_copied() -> None:
    batch = collate([example([5, 6], [True, True])])
    assert to_device(batch, torch.device("cpu")) is batch
