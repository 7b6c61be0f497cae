"""How boxes stand in records: turned into shares of the picture or refused in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

from tunesmith.data.boxes import Corners
from tunesmith.data.picture import Picture
from tunesmith.data.record import Record
from tunesmith.errors import DataError, counted
from tunesmith.tasks._prompt import value_of

BoxFormat = Literal["xyxy", "xywh", "cxcywh", "yxyx"]
"""Order of a box's four numbers: x and y of two corners; of the left top corner and the size; of the centre and the
size; y before x of two corners."""

BoxUnit = Literal["pixels", "fraction"]
"""Pixels of the original picture, or shares (0 to 1) of its width and height."""

_MOST_FAULTS = 3
_NO_AREA = "has no area in the picture"


def boxes_at(
    record: Record, path: str, picture: Picture, form: BoxFormat, unit: BoxUnit
) -> tuple[Corners, ...]:
    """Each box of a record as shares of its picture, in their order; DataError names those that cannot be, and what
    format or unit all would have a meaning in."""
    value = value_of(record, path, "task.boxes")
    listed = [value] if _is_box(value) else value
    wrong = [f"is {_told(value)}; it must be a list of boxes, each of them four numbers"]
    if isinstance(listed, list):
        wrong = [
            f"box {number} is {_told(one)}; it must be four numbers"
            for number, one in enumerate(listed, 1)
            if not _is_box(one)
        ]
        wrong = wrong or _faults(listed, picture, form, unit)
    if wrong:
        more = (
            [f"and {counted(len(wrong) - _MOST_FAULTS, 'more box', 'more boxes')}"]
            if len(wrong) > _MOST_FAULTS
            else []
        )
        raise DataError("\n".join(f"{record.id}: {path}: {one}" for one in [*wrong[:_MOST_FAULTS], *more]))
    return tuple(_shares(one, picture, form, unit) for one in listed)


def _told(value: Any) -> str:
    return f"the picture {value.path}" if isinstance(value, Picture) else f"{value!r:.60}"


def _is_box(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 4
        and all(isinstance(one, int | float) and not isinstance(one, bool) for one in value)
    )


def _faults(boxes: Sequence[list[float]], picture: Picture, form: BoxFormat, unit: BoxUnit) -> list[str]:
    found = {number: _fault(box, picture, form, unit) for number, box in enumerate(boxes, 1)}
    if not any(found.values()):
        return []
    only_flat = {what for what in found.values() if what} == {_NO_AREA}
    hint = "" if only_flat else _hint(boxes, picture, form, unit)
    hint = hint or " Correct the data, or leave the record out"
    return [f"box {number} ({boxes[number - 1]}) {what}.{hint}" for number, what in found.items() if what]


def _fault(box: list[float], picture: Picture, form: BoxFormat, unit: BoxUnit) -> str | None:
    """What is wrong with one box, if anything."""
    if not all(map(math.isfinite, box)):
        return "holds NaN or infinity"
    if unit == "pixels" and max(map(abs, box)) <= 1 < min(picture.width, picture.height):
        return f"would be no more than a pixel of {picture.width}x{picture.height}"
    left, top, right, bottom = _edges(box, form)
    if left > right:
        return f"has its left edge ({left:g}) right of its right edge ({right:g})"
    if top > bottom:
        return f"has its upper edge ({top:g}) below its lower edge ({bottom:g})"
    width, height = (picture.width, picture.height) if unit == "pixels" else (1, 1)
    # Annotators and rounding overshoot the border by up to a pixel; more is a mistake.
    over = max(-left / width, right / width - 1) * picture.width
    under = max(-top / height, bottom / height - 1) * picture.height
    if max(over, under) > 1 + 1e-6:
        limits = f"{width}x{height} pixels" if unit == "pixels" else "0 to 1"
        return f"reaches beyond the picture ({limits}): {left:g}, {top:g} to {right:g}, {bottom:g}"
    shares = _shares(box, picture, form, unit)
    return None if shares[0] < shares[2] and shares[1] < shares[3] else _NO_AREA


def _hint(boxes: Sequence[list[float]], picture: Picture, form: BoxFormat, unit: BoxUnit) -> str:
    """The other formats, or the other unit, in which no box of the record would be wrong, if there are any."""
    other: BoxUnit = "fraction" if unit == "pixels" else "pixels"
    # A fraction a little over 1 is a mistake, and no pixel.
    tiny = max(max(map(abs, box)) for box in boxes) <= 2
    formats: tuple[BoxFormat, ...] = get_args(BoxFormat)

    def fits(one: BoxFormat, in_unit: BoxUnit) -> bool:
        return not (in_unit == "pixels" and tiny) and not any(
            _fault(box, picture, one, in_unit) for box in boxes
        )

    fitting = [one for one in formats if fits(one, unit)]
    if fitting:
        return f" All boxes of the record would fit with task.format: {' or '.join(fitting)}"
    if fits(form, other):
        return f" All boxes of the record would fit with task.unit: {other}"
    fitting = [one for one in formats if fits(one, other)]
    if not fitting:
        return ""
    return f" All boxes of the record would fit with task.unit: {other}, task.format: {' or '.join(fitting)}"


def _edges(box: Sequence[float], form: BoxFormat) -> Corners:
    """Left, top, right, bottom, in the unit of the box."""
    a, b, c, d = box
    match form:
        case "xyxy":
            return a, b, c, d
        case "yxyx":
            return b, a, d, c
        case "xywh":
            return a, b, a + c, b + d
        case "cxcywh":
            return a - c / 2, b - d / 2, a + c / 2, b + d / 2


def _shares(box: Sequence[float], picture: Picture, form: BoxFormat, unit: BoxUnit) -> Corners:
    width, height = (picture.width, picture.height) if unit == "pixels" else (1, 1)
    left, top, right, bottom = _edges(box, form)
    x1, x2 = (min(max(edge / width, 0.0), 1.0) for edge in (left, right))
    y1, y2 = (min(max(edge / height, 0.0), 1.0) for edge in (top, bottom))
    return x1, y1, x2, y2
