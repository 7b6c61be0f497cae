from __future__ import annotations

import doctest
import math

import pytest

from tunesmith.evaluate.compare import Change
from tunesmith.evaluate.scores import Score
from tunesmith.report import words


def test_examples_in_the_docstrings_hold():
    assert doctest.testmod(words).failed == 0


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.9996, "share", "100.0\u202f%"),
        (0.0, "number", "0.000"),
        (-0.5, "number", "−0.500"),
        (1e-9, "number", "0.000000"),
        (0.7123, "nats", "0.712\u202fnats"),
        (float("nan"), "share", "none"),
    ],
)
def test_a_number_is_shown_with_its_unit(value, unit, shown):
    assert words.number(value, unit) == shown


def test_an_interval_that_could_not_be_had_is_not_shown():
    assert words.with_interval(Score(0.5, math.nan, math.nan, "higher", "share")) == "50.0\u202f%"
    assert (
        words.with_interval(Score(0.5, 0.4, 0.6, "higher", "share"))
        == "50.0\u202f% (95\u202f% interval 40.0 to 60.0)"
    )


def test_a_falling_share_has_a_minus_sign_everywhere():
    change = Change(0.967, 0.899, -0.068, -0.1, -0.03, 0.01, "bootstrap", "worse")
    assert words.changed(change, "share") == "−6.8\u202fpoints, 95\u202f% interval −10.0 to −3.0"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(59.9, "1 min 0 s"), (3600, "1 h 0 min"), (90000, "25 h 0 min")]
)
def test_a_duration_has_two_units(seconds, shown):
    assert words.duration(seconds).replace("\u202f", " ") == shown
