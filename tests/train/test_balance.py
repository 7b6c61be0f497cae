"""What classes weigh, and which examples of each are trained on."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tunesmith.config.experiment import Balance, Loss
from tunesmith.runs.stage import TrainedClasses
from tunesmith.train.balance import balanced, class_notes, class_weights, count_classes

CLASSES = [0] * 7 + [1] * 3 + [2] * 1 + [0] * 2


def test_a_number_a_class_takes_so_many_of_each_and_repeats_none() -> None:
    chosen = balanced(CLASSES, Balance(per_class=3), seed=17)
    assert chosen == sorted(set(chosen))
    assert Counter(CLASSES[index] for index in chosen) == {0: 3, 1: 3, 2: 1}
    assert chosen == balanced(CLASSES, Balance(per_class=3), seed=17)
    assert any(chosen != balanced(CLASSES, Balance(per_class=3), seed=seed) for seed in range(5))


def test_max_repeats_every_class_up_to_the_largest_as_evenly_as_can_be() -> None:
    chosen = balanced(CLASSES, Balance(per_class="max"), seed=17)
    assert Counter(CLASSES[index] for index in chosen) == {0: 9, 1: 9, 2: 9}
    repeats = Counter(chosen)
    assert {repeats[index] for index in range(7)} == {1}
    assert {repeats[index] for index in (7, 8, 9)} == {3}
    uneven = Counter(balanced([0] * 5 + [1] * 2, Balance(per_class="max"), seed=17))
    assert sorted(uneven[index] for index in (5, 6)) == [2, 3]


def test_weights_are_those_of_the_papers_with_the_mean_one() -> None:
    counts = np.array([1887, 4937, 3000, 20])
    inverse = 1 / counts
    effective = (1 - 0.999) / (1 - 0.999**counts)
    for settings, reference in (
        (Loss(balance="inverse_frequency"), inverse),
        (Loss(balance="effective_number"), effective),
        (Loss(balance="effective_number", beta=0.99), (1 - 0.99) / (1 - 0.99**counts)),
        (Loss(balance="effective_number", beta=0.0), np.ones(4)),
    ):
        weights = class_weights(counts, settings)
        np.testing.assert_allclose(weights, reference / reference.mean(), rtol=1e-10)  # type: ignore[arg-type]
        assert np.mean(weights) == pytest.approx(1)  # type: ignore[arg-type]
    assert class_weights(counts, Loss()) is None


def test_a_class_without_examples_does_not_move_the_weights_of_others() -> None:
    settings = Loss(balance="inverse_frequency")
    assert class_weights(np.array([1, 0, 3]), settings) == (1.5, 1.0, 0.5)


def test_classes_are_counted_also_where_an_example_has_several_or_none() -> None:
    assert count_classes([(0,), (0, 2), (), None], 4).tolist() == [2, 0, 1, 0]


def test_the_log_does_not_say_a_span_of_equal_sizes() -> None:
    assert class_notes(TrainedClasses(("a", "b"), (1400, 1400), None)) == [
        "2 classes of 1,400 training examples"
    ]


def test_the_log_says_sizes_missing_classes_and_weights() -> None:
    assert class_notes(TrainedClasses(("a", "b", "c"), (4, 0, 2), (0.5, 1.0, 1.5))) == [
        "3 classes of 0 to 4 training examples",
        "no training example is of class b",
        "weights of classes: a 0.5, b 1, c 1.5",
    ]
