"""Durations carry their unit, and every setting is documented."""

from __future__ import annotations

import pytest

from tests.house.test_house import settings_classes
from tunesmith.config.settings import Duration, ImpossibleError, docstrings, parse_duration


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("200 steps", Duration(200.0, "steps")),
        ("1 epoch", Duration(1.0, "epochs")),
        (" 0.5epochs ", Duration(0.5, "epochs")),
    ],
)
def test_a_duration_is_read_and_written_back(text: str, duration: Duration) -> None:
    assert parse_duration(text) == duration
    assert parse_duration(str(duration)) == duration


@pytest.mark.parametrize("value", [200, "200", "0 steps", "1.5 steps", "-1 epochs", "3 hours", None, ""])
def test_a_duration_without_a_sane_unit_is_refused(value: object) -> None:
    with pytest.raises(
        ValueError, match=r"must be a number with its unit, such as '200 steps' or '0\.5 epochs'"
    ):
        parse_duration(value)


def test_a_duration_in_epochs_is_never_no_step_at_all() -> None:
    assert [parse_duration("0.5 epochs").steps(n) for n in (1, 7, 100)] == [1, 4, 50]
    assert parse_duration("200 steps").steps(7) == 200


def test_no_setting_is_left_without_a_meaning() -> None:
    silent = [
        f"{settings.__name__}.{name}"
        for settings in settings_classes()
        for name in settings.model_fields  # type: ignore[attr-defined]
        if name != "kind" and not docstrings(settings).get(name)
    ]
    assert not silent


def test_meanings_are_inherited_and_overridden() -> None:
    from tunesmith.config.registry import Registry

    lora = docstrings(Registry("tunesmith.methods").item("lora"))
    assert lora["learning_rate"].startswith("Peak learning rate of this part")
    assert lora["rank"]


def test_an_impossibility_reads_as_a_sentence() -> None:
    assert str(ImpossibleError(("a.b", "wrong"), ("c", "bad"))) == "a.b: wrong; c: bad"
