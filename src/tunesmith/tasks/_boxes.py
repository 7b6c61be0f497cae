"""How boxes stand in records: turned into shares of the picture or refused in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tunesmith.errors import DataError, counted
from tunesmith.images.boxes import Corners
from tunesmith.images.picture import Picture
from tunesmith.records.record import Record
from tunesmith.tasks._frames import BoxFrame, Frame, frames_of, refuse_unknown_frame
from tunesmith.tasks._prompt import value_of

BoxFormat = Literal["xyxy", "xywh", "cxcywh", "yxyx"]
"""Order of a box's four numbers: x and y of two corners; of the left top corner and the size; of the centre and the
size; y before x of two corners."""

BoxUnit = Literal["pixels", "fraction", "percent", "thousandths"]
"""Pixels of the picture, or shares of its width and height: of 1, of 100 or of 1000."""

WHOLE: dict[BoxUnit, int] = {"fraction": 1, "percent": 100, "thousandths": 1000}
"""What the picture's whole width or height is in each unit that is a share of it."""

_MOST_FAULTS = 3
NO_AREA = "has no area in the picture"
NO_NUMBER = "holds NaN or infinity"


@dataclass(frozen=True)
class Notation:
    """How four numbers tell a box."""

    form: BoxFormat
    unit: BoxUnit

    def fault(self, box: Sequence[float], frame: Frame) -> str | None:
        """What is wrong with one box of a picture, if anything."""
        if not all(map(math.isfinite, box)):
            return NO_NUMBER
        width, height = self._sizes(frame)
        if self.unit != "fraction" and max(map(abs, box)) <= 1 < min(width, height):
            told = f"a pixel of {width}x{height}" if self.unit == "pixels" else f"1 of {width}"
            return f"would be no more than {told}"
        left, top, right, bottom = edges_of(box, self.form)
        if left > right:
            return f"has its left edge ({left:g}) right of its right edge ({right:g})"
        if top > bottom:
            return f"has its upper edge ({top:g}) below its lower edge ({bottom:g})"
        # Annotators and rounding overshoot the border by up to a pixel; more is a mistake.
        over = max(-left / width, right / width - 1) * frame.width
        under = max(-top / height, bottom / height - 1) * frame.height
        if max(over, under) > 1 + 1e-6:
            limits = f"{width}x{height} pixels" if self.unit == "pixels" else f"0 to {width}"
            return f"reaches beyond the picture ({limits}): {left:g}, {top:g} to {right:g}, {bottom:g}"
        shares = self.shares(box, frame)
        return None if shares[0] < shares[2] and shares[1] < shares[3] else NO_AREA

    def shares(self, box: Sequence[float], frame: Frame) -> Corners:
        """Left, top, right, bottom as shares of the upright picture, clipped to it."""
        width, height = self._sizes(frame)
        left, top, right, bottom = edges_of(box, self.form)
        x1, x2 = (min(max(edge / width, 0.0), 1.0) for edge in (left, right))
        y1, y2 = (min(max(edge / height, 0.0), 1.0) for edge in (top, bottom))
        return frame.upright((x1, y1, x2, y2))

    def _sizes(self, frame: Frame) -> tuple[int, int]:
        """What the picture's width and height are in the unit."""
        if self.unit == "pixels":
            return frame.width, frame.height
        return WHOLE[self.unit], WHOLE[self.unit]


def boxes_at(
    record: Record, path: str, picture: Picture, notation: Notation, frame: BoxFrame | None = None
) -> tuple[Corners, ...]:
    """Each box of a record as shares of its upright picture, in their order; DataError names those that cannot be.

    `frame` is the picture that the boxes count in, if the user says so; else the record's own width and height tell,
    and a picture that is turned by EXIF is refused where they do not.
    """
    frames = frames_of(record, picture, frame)
    listed = listed_at(record, path)
    faults = [_faults(listed, notation, one) for one in frames]
    if len(frames) > 1 and listed and not faults[1]:
        refuse_unknown_frame(
            record, picture, "; they fit only the stored one" if faults[0] else "; they fit both"
        )
    _refuse(record, path, faults[0])
    return tuple(notation.shares(one, frames[0]) for one in listed)


def listed_at(record: Record, path: str) -> list[list[float]]:
    """The boxes of a record as they stand there, each four numbers; DataError names what is none."""
    value = value_of(record, path, "task.boxes")
    listed = [value] if _is_box(value) else value
    if not isinstance(listed, list):
        _refuse(record, path, [f"is {_told(value)}; it must be a list of boxes, each of them four numbers"])
    wrong = [
        f"box {number} is {_told(one)}; it must be four numbers"
        for number, one in enumerate(listed, 1)
        if not _is_box(one)
    ]
    _refuse(record, path, wrong)
    return list(listed)


def _refuse(record: Record, path: str, wrong: Sequence[str]) -> None:
    if wrong:
        more = (
            [f"and {counted(len(wrong) - _MOST_FAULTS, 'more box', 'more boxes')}"]
            if len(wrong) > _MOST_FAULTS
            else []
        )
        raise DataError("\n".join(f"{record.id}: {path}: {one}" for one in [*wrong[:_MOST_FAULTS], *more]))


def _faults(boxes: Sequence[list[float]], notation: Notation, frame: Frame) -> list[str]:
    found = ((number, box, notation.fault(box, frame)) for number, box in enumerate(boxes, 1))
    return [f"box {number} ({box}) {what}" for number, box, what in found if what]


def _told(value: Any) -> str:
    return f"the picture {value.path}" if isinstance(value, Picture) else f"{value!r:.60}"


def _is_box(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 4
        and all(isinstance(one, int | float) and not isinstance(one, bool) for one in value)
    )


def edges_of(box: Sequence[float], form: BoxFormat) -> Corners:
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
