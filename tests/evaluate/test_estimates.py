from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import f1_score

from tests.metrics.made import classified, marked
from tests.metrics.made_boxes import found, pictures
from tunesmith.evaluate.defaults import function_of
from tunesmith.evaluate.estimates import Units, all_estimates_of, estimates_of
from tunesmith.metrics import Outcomes

UNITS = Units.of([f"{index // 5}" for index in range(400)])


@pytest.mark.parametrize(
    "metric",
    [
        "accuracy",
        "f1",
        "precision",
        "recall",
        "f1_macro",
        "f1_weighted",
        "balanced_accuracy",
        "log_loss",
        "roc_auc",
    ],
)
def test_every_number_is_the_metrics_own_with_and_without_each_unit(metric: str) -> None:
    outcomes = classified(scored=True)
    whole = function_of(metric)(outcomes, np.ones(400))
    for one in all_estimates_of(metric, outcomes, UNITS):
        assert one.value == pytest.approx(whole[one.name], nan_ok=True)
        for unit in (0, 41, 79):
            left = function_of(metric)(outcomes, (UNITS.index != unit).astype(float))[one.name]
            assert one.without[unit] == pytest.approx(left, nan_ok=True)


def test_average_precision_varies_without_its_steps() -> None:
    outcomes = found(pictures(rows=60))
    (one,) = estimates_of("ap", outcomes, Units.of([str(index) for index in range(60)]))
    assert one.value == pytest.approx(function_of("ap")(outcomes, np.ones(60))["ap"])
    assert len(set(one.without)) > 20
    low, high = one.interval().low, one.interval().high
    assert 0 <= low < one.value < high <= 1


def test_some_of_the_rows_keep_the_places_of_their_units() -> None:
    some = UNITS.some([7, 3, 12, 398])
    assert list(some.index) == [1, 0, 2, 3]
    assert list(some.place) == [0, 1, 2, 79]
    assert not some.are_records or some.number == 4
    np.testing.assert_array_equal(UNITS.sums(np.ones(400)), np.full(80, 5.0))


def test_macro_f1_of_rare_classes_is_centred_on_its_value_without_their_bias() -> None:
    chance = np.random.default_rng(1)
    truth = chance.choice(30, size=250, p=1 / np.arange(1, 31) / (1 / np.arange(1, 31)).sum())
    predicted = np.where(chance.random(250) < 0.75, truth, chance.integers(0, 30, 250))
    outcomes = Outcomes({}, np.zeros(250, bool), tuple(map(str, range(30))), None, truth, predicted)
    (one,) = estimates_of("f1_macro", outcomes, Units.of([str(index) for index in range(250)]))
    ends = one.interval()
    assert one.value == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert ends.low <= one.value <= ends.high
    assert (ends.low + ends.high) / 2 > one.value


def test_a_median_has_the_limits_of_its_order_statistics() -> None:
    values = np.random.default_rng(0).random(200)
    units = Units.of([str(index) for index in range(200)])
    (one,) = estimates_of("iou_median", marked({"iou": list(values)}), units)
    ends, ordered = one.interval(), np.sort(values)
    assert one.value == np.median(values)
    # Of 200 values, ranks 86 to 115 hold the median in 95.2 % of samples.
    assert ordered[84] <= ends.low <= ordered[87]
    assert ordered[112] <= ends.high <= ordered[116]


def test_a_lump_at_the_median_does_not_take_away_the_width() -> None:
    units = Units.of([str(index) for index in range(100)])
    (one,) = estimates_of("iou_median", marked({"iou": [0.0] * 80 + [0.7] * 20}), units)
    assert (one.value, one.interval().low, one.interval().high) == (0.0, 0.0, 0.7)


def test_equal_values_have_a_width_and_no_interval_leaves_the_range() -> None:
    units = Units.of([str(index) for index in range(40)])
    for value in (0.0, 0.8, 1.0):
        (one,) = estimates_of("iou", marked({"iou": [value] * 40}), units)
        ends = one.interval()
        assert 0 <= ends.low <= value <= ends.high <= 1
        assert ends.low < ends.high


def test_the_calibration_error_has_no_interval() -> None:
    (one,) = estimates_of("calibration_error", classified(scored=True), UNITS)
    assert math.isnan(one.interval().low)


def test_a_class_that_is_never_predicted_could_have_any_precision() -> None:
    truth, predicted = np.arange(20) % 2, np.zeros(20, int)
    outcomes = Outcomes({}, np.zeros(20, bool), ("a", "b"), None, truth, predicted)
    units = Units.of([str(index) for index in range(20)])
    ends = {one.name: one.interval() for one in estimates_of("precision", outcomes, units)}
    assert (ends["precision/b"].low, ends["precision/b"].high) == (0.0, 1.0)
