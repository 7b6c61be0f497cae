from __future__ import annotations

import doctest
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.errors import DataError
from tunesmith.images.picture import Picture
from tunesmith.records.record import Record
from tunesmith.tasks import _boxes
from tunesmith.tasks._boxes import WHOLE, BoxFormat, BoxUnit, Notation, boxes_at

PHOTO = Picture("a.png", "0" * 64, 640, 480, "0" * 16)


def shares(value: Any, form: BoxFormat = "xyxy", unit: BoxUnit = "pixels") -> tuple[tuple[float, ...], ...]:
    return boxes_at(Record("a.jsonl:7", {"box": value}), "box", PHOTO, Notation(form, unit))


def fault(value: Any, form: BoxFormat = "xyxy", unit: BoxUnit = "pixels") -> str:
    with pytest.raises(DataError) as caught:
        shares(value, form, unit)
    return str(caught.value)


def test_the_examples_in_the_docstrings_are_true() -> None:
    assert doctest.testmod(_boxes).failed == 0


@pytest.mark.parametrize(
    ("form", "box"),
    [
        ("xyxy", [64, 120, 320, 480]),
        ("yxyx", [120, 64, 480, 320]),
        ("xywh", [64, 120, 256, 360]),
        ("cxcywh", [192, 300, 256, 360]),
    ],
)
def test_each_format_gives_the_same_box_in_every_unit(form: BoxFormat, box: list[int]) -> None:
    wanted = pytest.approx((0.1, 0.25, 0.5, 1.0))
    sides = (480, 640) if form == "yxyx" else (640, 480)
    assert shares([box], form)[0] == wanted
    for unit, whole in WHOLE.items():
        scaled = [number / sides[i % 2] * whole for i, number in enumerate(box)]
        assert shares([scaled], form, unit)[0] == wanted


@given(
    st.tuples(st.floats(0, 0.9), st.floats(0.01, 0.1)), st.tuples(st.floats(0, 0.9), st.floats(0.01, 0.1)),
    st.sampled_from(["xyxy", "yxyx", "xywh", "cxcywh"]), st.sampled_from(["pixels", "fraction"]),
)  # fmt: skip
def test_any_box_is_the_same_in_any_format(
    across: tuple[float, float], down: tuple[float, float], form: BoxFormat, unit: BoxUnit
) -> None:
    width, height = (640, 480) if unit == "pixels" else (1, 1)
    x, w, y, h = across[0] * width, across[1] * width, down[0] * height, down[1] * height
    written = {
        "xyxy": [x, y, x + w, y + h],
        "yxyx": [y, x, y + h, x + w],
        "xywh": [x, y, w, h],
        "cxcywh": [x + w / 2, y + h / 2, w, h],
    }[form]
    if unit == "pixels" and max(written) <= 1:
        return
    wanted = (across[0], down[0], sum(across), sum(down))
    assert shares([written], form, unit)[0] == pytest.approx(wanted)


def test_a_single_box_needs_no_list_and_no_box_is_legal() -> None:
    assert shares([64, 120, 320, 480]) == shares([[64, 120, 320, 480]])
    assert shares([]) == ()


def test_up_to_a_pixel_over_the_edge_is_put_on_it() -> None:
    assert shares([[-1, -0.5, 641, 480.5]]) == ((0.0, 0.0, 1.0, 1.0),)
    assert shares([[-1 / 640, 0, 1 + 1 / 640, 1 + 1 / 480]], unit="fraction") == ((0.0, 0.0, 1.0, 1.0),)
    assert "reaches beyond the picture (640x480 pixels): 0, 0 to 641.5, 480" in fault([[0, 0, 641.5, 480]])
    assert "reaches beyond the picture (0 to 1): 0, 0 to 1.003, 1" in fault(
        [[0, 0, 1.003, 1]], unit="fraction"
    )


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("x", "is 'x'; it must be a list of boxes, each of them four numbers"),
        (PHOTO, "is the picture a.png; it must be a list of boxes"),
        ([[1, 2, 3]], "box 1 is [1, 2, 3]; it must be four numbers"),
        ([[1, 2, 30, 40], None], "box 2 is None; it must be four numbers"),
        ([[1, 2, True, 40]], "box 1 is [1, 2, True, 40]; it must be four numbers"),
        ([[1, 2, "3", 40]], "box 1 is [1, 2, '3', 40]; it must be four numbers"),
        ([[1, 2, float("nan"), 4]], "box 1 ([1, 2, nan, 4]) holds NaN or infinity"),
        ([[10, 20, 10, 40]], "box 1 ([10, 20, 10, 40]) has no area in the picture"),
        ([[640.2, 20, 640.8, 40]], "has no area in the picture"),
    ],
)  # fmt: skip
def test_what_is_no_box_is_named_with_its_record_and_field(value: Any, what: str) -> None:
    assert fault(value).startswith("a.jsonl:7: box: ")
    assert what in fault(value)


@pytest.mark.parametrize(
    ("value", "form", "unit", "what"),
    [
        ([[0.1, 0.2, 0.5, 0.6]], "xyxy", "pixels", "would be no more than a pixel of 640x480"),
        ([[0.1, 0.2, 0.5, 0.6]], "xyxy", "percent", "would be no more than 1 of 100"),
        ([[0.1, 0.2, 0.5, 0.6]], "xyxy", "thousandths", "would be no more than 1 of 1000"),
        ([[10, 20, 300, 400]], "xyxy", "fraction", "reaches beyond the picture (0 to 1): 10, 20 to 300, 400"),
        ([[10, 20, 300, 400]], "xyxy", "percent", "reaches beyond the picture (0 to 100): 10, 20 to 300, 400"),
        ([[300, 20, 100, 400]], "xyxy", "pixels", "has its left edge (300) right of its right edge (100)"),
        ([[20, 300, 400, 100]], "xyxy", "pixels", "has its upper edge (300) below its lower edge (100)"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_box_is_told_without_a_guess(
    value: Any, form: BoxFormat, unit: BoxUnit, what: str
) -> None:
    assert fault(value, form, unit).endswith(what)


def test_all_faults_are_named_but_no_more_than_three_in_full() -> None:
    lines = fault([[1, 2, 3], [10, 10, 20, 20], "x", None, 5]).splitlines()
    assert [line[:29] for line in lines[:3]] == [f"a.jsonl:7: box: box {number} is {what}"[:29] for number, what in
                                                [(1, "[1, 2, 3]"), (3, "'x'; it "), (4, "None; it ")]]  # fmt: skip
    assert lines[3] == "a.jsonl:7: box: and 1 more box"
