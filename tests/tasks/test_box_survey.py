from __future__ import annotations

from typing import Any

import pytest

from tunesmith.images.picture import Picture
from tunesmith.records.record import Record
from tunesmith.tasks._box_survey import BoxSurvey
from tunesmith.tasks._boxes import BoxFormat, BoxUnit, Notation


def seen(boxes: list[Any], form: BoxFormat, unit: BoxUnit, size: tuple[int, int] = (640, 480)) -> BoxSurvey:
    """A survey of one record for each list of boxes."""
    photo = Picture("a.png", "0" * 64, *size, "0" * 16)
    survey = BoxSurvey(Notation(form, unit), None, "box", lambda record: photo)
    for number, one in enumerate(boxes):
        survey.see(Record(f"a.jsonl:{number}", {"box": one}))
    return survey


@pytest.mark.parametrize(
    ("boxes", "form", "unit", "what"),
    [
        ([[[0.1, 0.2, 0.5, 0.6]]], "xyxy", "pixels", "All of the 1 box would fit with task.unit: fraction;"),
        ([[[10, 20, 300, 400]]], "xyxy", "fraction", "with task.unit: pixels, or with task.unit: thousandths;"),
        ([[[30.5, 40, 50, 65]]], "xyxy", "fraction", "would fit with task.unit: percent;"),
        ([[[30.5, 40, 20, 25]]], "xyxy", "fraction", "would fit with task.unit: percent, task.format: xywh, or "
         "with task.unit: percent, task.format: cxcywh;"),
        ([[[100, 200, 900, 950]]], "xyxy", "pixels", "would fit with task.unit: thousandths;"),
        ([[[300, 20, 100, 400]]], "xyxy", "pixels", "would fit with task.format: xywh;"),
        ([[[20, 500, 400, 600]]], "xyxy", "pixels", "would fit with task.format: yxyx;"),
        ([[[0.5, 0.5, 0.2, 0.2]]], "xyxy", "pixels", "task.unit: fraction, task.format: xywh, or with"),
        ([[[0.1, 0.2, 1.1, 0.6]]], "xyxy", "fraction", "No task.format and task.unit fit all of the 1 box"),
    ],
)  # fmt: skip
def test_a_wrong_format_or_unit_is_told_with_the_right_one(
    boxes: list[Any], form: BoxFormat, unit: BoxUnit, what: str
) -> None:
    assert what in seen(boxes, form, unit).advice()


def test_what_fits_one_record_alone_is_never_advised() -> None:
    fitting = [[[10, 20, 300, 400]]] * 5
    for odd in ([500, 20, 100, 400], [0.1, 0.2, 0.5, 0.6]):
        assert seen([*fitting, [odd]], "xyxy", "pixels").advice() == (
            "5 of 6 boxes fit task.format and task.unit as they are set: the others may be mistakes."
        )
    mixed = [[[500, 20, 100, 400]], [[10, 20, 900, 470]], [[0.1, 0.2, 0.5, 0.6]]]
    assert (
        seen(mixed, "xyxy", "pixels")
        .advice()
        .startswith("No task.format and task.unit fit all of the 3 boxes")
    )
    assert seen([*fitting, [[10, 20, 10, 40]], "no box"], "xyxy", "pixels").advice() == ""
    assert seen([], "xyxy", "pixels").advice() == ""


def test_following_the_advice_ends_the_advice() -> None:
    boxes = [[[30.5, 40 + number, 20, 25]] for number in range(8)]
    assert "percent" in seen(boxes, "xywh", "fraction").advice()
    assert seen(boxes, "xywh", "percent").advice() == ""
    assert seen(boxes, "xywh", "percent").notes() == []


def test_percent_and_thousandths_that_fit_as_pixels_are_doubted() -> None:
    percent = [[[30.5, 40 + number, 20, 25]] for number in range(8)]
    assert seen(percent[:7], "xywh", "pixels").notes() == []
    (note,) = seen(percent, "xywh", "pixels").notes()
    assert note == (
        "task.unit is pixels, but no number of the 8 boxes is more than 47, on pictures of at least 480 pixels. If "
        "they are shares of 100, set task.unit to percent; `tunesmith show` draws them."
    )
    thousandths = [[[100, 200, 900, 950]]] * 9
    assert "set task.unit to thousandths" in seen(thousandths, "xyxy", "pixels", (4000, 3000)).notes()[0]
    assert seen(thousandths, "xyxy", "pixels", (1200, 1000)).notes() == []
    assert "set task.unit to percent" in seen(percent, "xywh", "thousandths").notes()[0]
