from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.metrics.made import classified, marked
from tests.metrics.made_boxes import found, pictures
from tunesmith.evaluate.defaults import function_of
from tunesmith.evaluate.estimates import Units
from tunesmith.evaluate.pairs import pairs_of
from tunesmith.evaluate.significance import Signs
from tunesmith.metrics import Outcomes


def exchanged_by_hand(
    first: Outcomes, second: Outcomes, units: Units, flips: np.ndarray, metric: str
) -> dict[str, float]:
    """The change after the rows of some units have changed places."""
    swap = flips[units.index] < 0

    def side(one: Outcomes, other: Outcomes) -> dict[str, float]:
        def mixed(mine: np.ndarray | None, theirs: np.ndarray | None) -> np.ndarray | None:
            if mine is None or theirs is None:
                return None
            return np.where(swap if mine.ndim == 1 else swap[:, None], theirs, mine)

        marks = {name: mixed(column, other.marks[name]) for name, column in one.marks.items()}
        parts = [mixed(getattr(one, name), getattr(other, name)) for name in ("predicted", "scores")]
        whole = replace(
            one, marks=marks, unread=mixed(one.unread, other.unread), predicted=parts[0], scores=parts[1]
        )
        return function_of(metric)(whole, np.ones(len(swap)))

    before, after = side(first, second), side(second, first)
    return {name: after[name] - before[name] for name in after}


def answered(seed: int) -> Outcomes:
    """Other answers to the same questions."""
    base = classified(rows=120, scored=True)
    other = classified(rows=120, seed=seed, scored=True)
    predicted = np.where(np.arange(120) % 3 == 0, other.predicted, base.predicted)
    return replace(
        base,
        predicted=predicted,
        scores=other.scores,
        unread=predicted < 0,
        marks={"correct": np.equal(predicted, base.truth).astype(float)},
    )


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize(
    "metric",
    [
        "accuracy",
        "unread",
        "f1",
        "precision",
        "recall",
        "f1_macro",
        "f1_weighted",
        "balanced_accuracy",
        "log_loss",
    ],
)
def test_exchanges_are_what_exchanged_rows_give(metric: str, size: int) -> None:
    check(
        metric,
        classified(rows=120, scored=True),
        answered(5),
        Units.of([f"{index // size}" for index in range(120)]),
    )


def test_exchanges_of_boxes_are_too_but_for_steps() -> None:
    first, second = (found(pictures(rows=40, seed=seed)) for seed in (0, 1))
    truth = {name: column for name, column in first.marks.items() if name.startswith("objects")}
    second = replace(second, marks={**second.marks, **truth})
    units = Units.of([str(index) for index in range(40)])
    for metric, tolerance in (("box_f1", 1e-9), ("box_precision", 1e-9), ("box_recall", 1e-9), ("ap", 0.02)):
        check(metric, first, second, units, tolerance)


def check(metric: str, first: Outcomes, second: Outcomes, units: Units, tolerance: float = 1e-9) -> None:
    signs = Signs.drawn(units.number, 20, 3)
    flips = signs.sums(np.arange(units.number), np.eye(units.number))
    by_hand = [exchanged_by_hand(first, second, units, one, metric) for one in flips]
    values = [function_of(metric)(one, np.ones(len(units.index))) for one in (first, second)]
    pairs = list(pairs_of(metric, first, second, units, signs))
    assert pairs
    for pair in pairs:
        assert (pair.first.value, pair.second.value) == pytest.approx(
            (values[0][pair.name], values[1][pair.name])
        )
        assert pair.exchange.change == pytest.approx(
            values[1][pair.name] - values[0][pair.name], abs=tolerance
        )
        expected = [one[pair.name] for one in by_hand]
        np.testing.assert_allclose(pair.exchange.exchanged, expected, atol=tolerance)
        low, high = pair.interval()
        assert low < pair.second.value - pair.first.value < high


@pytest.mark.parametrize(
    ("make", "metric", "test"),
    [
        (lambda values: marked({"correct": list(values > 0.5)}), "accuracy", "mcnemar"),
        (lambda values: marked({"iou": list(values)}), "iou", "swaps"),
        (lambda values: marked({"iou": list(values)}), "iou_median", "sign flips"),
    ],
)
def test_a_gain_of_all_is_clear_and_none_is_not(
    make: Callable[[np.ndarray], Outcomes], metric: str, test: str
) -> None:
    chance = np.random.default_rng(0)
    values = chance.random(200) * 0.8
    units, signs = Units.of([str(index) for index in range(200)]), Signs.drawn(200, 500, 1)
    (gain,) = pairs_of(
        metric, make(values), make(np.minimum(values + 0.2 * chance.random(200), 1)), units, signs
    )
    assert gain.test == test
    assert gain.p_alone(500, 1) < 0.01
    assert gain.interval()[0] > 0
    (none,) = pairs_of(metric, make(values), make(chance.permutation(values)), units, signs)
    assert none.p_alone(500, 1) > 0.05


def test_the_calibration_error_is_not_compared() -> None:
    outcomes = classified(rows=120, scored=True)
    units = Units.of([str(index) for index in range(120)])
    assert list(pairs_of("calibration_error", outcomes, answered(5), units, Signs.drawn(120, 20, 1))) == []
