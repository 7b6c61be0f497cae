"""Which format and unit fit the boxes of all records: what a hint may name, and when to doubt one that fits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import get_args

from tunesmith.errors import DataError, counted
from tunesmith.images.picture import Picture
from tunesmith.records.record import Record
from tunesmith.records.survey import Survey
from tunesmith.tasks._boxes import (
    NO_AREA,
    NO_NUMBER,
    WHOLE,
    BoxFormat,
    BoxUnit,
    Notation,
    listed_at,
)
from tunesmith.tasks._frames import BoxFrame, frames_of

_OF_NO_NOTATION = (None, NO_AREA, NO_NUMBER)
"""Faults of a box that no other format or unit would mend."""
_FEWEST_BOXES = 8
"""Below this number, boxes that all lie in one corner may be chance."""
_TIMES = 2
"""How many times larger than all numbers a picture's shorter side must be for pixels to be doubtful."""
_MOST_OF_A_FRACTION = 2
"""Up to here a number over 1 is a mistake in a fraction, and no percent."""


class BoxSurvey(Survey):
    """The notations that no box of any record has ruled out yet."""

    def __init__(
        self,
        stated: Notation,
        frame: BoxFrame | None,
        path: str,
        picture_of: Callable[[Record], Picture],
    ) -> None:
        """`stated` is what the task says, `path` the field of the boxes, `picture_of` gives a record's picture."""
        self._stated = stated
        self._frame = frame
        self._path = path
        self._picture_of = picture_of
        self._fitting = [Notation(form, unit) for unit in get_args(BoxUnit) for form in get_args(BoxFormat)]
        self._largest = 0.0
        self._shortest_side: float = math.inf
        self._num_boxes = 0
        self._num_wrong = 0

    def see(self, record: Record) -> None:
        """Rule out the notations in which a box of the record cannot be."""
        try:
            picture = self._picture_of(record)
            frames = frames_of(record, picture, self._frame)
            boxes = listed_at(record, self._path)
        except DataError:
            return
        if not boxes or len(frames) > 1:
            return
        self._num_boxes += len(boxes)
        self._shortest_side = min(self._shortest_side, picture.width, picture.height)
        self._largest = max(self._largest, *(abs(number) for box in boxes for number in box))
        self._num_wrong += sum(self._stated.fault(box, frames[0]) is not None for box in boxes)
        self._fitting = [
            one for one in self._fitting if all(one.fault(box, frames[0]) in _OF_NO_NOTATION for box in boxes)
        ]

    def advice(self) -> str:
        """The format, or the unit, or both, that would fit all boxes of all records, if the stated ones do not."""
        if self._stated in self._fitting or not self._num_boxes:
            return ""
        if 2 * self._num_wrong < self._num_boxes:
            return (
                f"{self._num_boxes - self._num_wrong:,} of {counted(self._num_boxes, 'box', 'boxes')} fit task.format "
                "and task.unit as they are set: the others may be mistakes."
            )
        likely = [one for one in self._fitting if self._is_likely(one.unit)]
        best = [one for one in likely if one.unit == self._stated.unit] or [
            one for one in likely if one.form == self._stated.form
        ]
        named = [self._named(one) for one in best or likely]
        if not named:
            return (
                f"No task.format and task.unit fit all of the {counted(self._num_boxes, 'box', 'boxes')}: the rows "
                "differ, or hold mistakes."
            )
        return (
            f"All of the {counted(self._num_boxes, 'box', 'boxes')} would fit with {', or with '.join(named)}; "
            "`tunesmith show` draws them."
        )

    def notes(self) -> list[str]:
        """A doubt about the unit, if all numbers are small enough for a finer one."""
        unit = self._stated.unit
        if self._num_boxes < _FEWEST_BOXES or self._stated not in self._fitting or self._is_likely(unit):
            return []
        finest = self._finest()
        where = f", on pictures of at least {self._shortest_side:g} pixels" if unit == "pixels" else ""
        return [
            f"task.unit is {unit}, but no number of the {self._num_boxes:,} boxes is more than {self._largest:g}"
            f"{where}. If they are shares of {WHOLE[finest]}, set task.unit to {finest}; `tunesmith show` draws them."
        ]

    def _is_likely(self, unit: BoxUnit) -> bool:
        """True for the finest unit that holds all numbers; for pixels unless pictures are much larger than that."""
        finest = self._finest()
        if self._largest <= _MOST_OF_A_FRACTION:
            return unit == "fraction"
        if unit == "pixels":
            return finest == "pixels" or self._shortest_side < _TIMES * WHOLE[finest]
        return unit == finest

    def _finest(self) -> BoxUnit:
        return next((unit for unit, whole in WHOLE.items() if self._largest <= whole * 1.01), "pixels")

    def _named(self, notation: Notation) -> str:
        changed = [f"task.unit: {notation.unit}"] if notation.unit != self._stated.unit else []
        return ", ".join(
            changed + ([f"task.format: {notation.form}"] if notation.form != self._stated.form else [])
        )
