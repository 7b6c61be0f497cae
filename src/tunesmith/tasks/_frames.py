"""Which picture boxes count in: as its file stores it, or as its EXIF orientation turns it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tunesmith.errors import DataError
from tunesmith.images.boxes import Corners
from tunesmith.images.picture import Picture
from tunesmith.records.record import Record

BoxFrame = Literal["upright", "stored"]
"""The picture as its EXIF orientation turns it, or as its pixels lie in the file."""

SIZE_FIELDS = (
    ("width", "height"),
    ("image_width", "image_height"),
    ("img_width", "img_height"),
    ("imageWidth", "imageHeight"),
    ("original_width", "original_height"),
)
"""Where exports of annotation tools (COCO, LabelMe, Label Studio) write the size of the picture that was annotated."""


@dataclass(frozen=True)
class Frame:
    """The picture that the boxes of a record count in."""

    width: int
    """Pixels."""
    height: int
    """Pixels."""
    orientation: int = 1
    """EXIF orientation (1 to 8) by which boxes must be turned to fit the upright picture; 1 leaves them."""

    def upright(self, corners: Corners) -> Corners:
        """Corners in shares of this frame as shares of the upright picture (EXIF 2.32, tag 274).

        >>> Frame(640, 480, 6).upright((0.0, 0.25, 0.5, 1.0))
        (0.0, 0.0, 0.75, 0.5)
        """
        left, top, right, bottom = corners
        x, y = (left, right), (top, bottom)
        if self.orientation >= 5:
            x, y = y, x
        if self.orientation in (2, 3, 6, 7):
            x = (1 - x[1], 1 - x[0])
        if self.orientation in (3, 4, 7, 8):
            y = (1 - y[1], 1 - y[0])
        return x[0], y[0], x[1], y[1]


def frames_of(record: Record, picture: Picture, asked: BoxFrame | None) -> tuple[Frame, ...]:
    """The frames that the record's boxes may count in: one, or the upright and the stored one if nothing tells which.

    `asked` is the setting `task.frame`; without it the record's own width and height tell. DataError if those are
    the size of neither.
    """
    upright = Frame(picture.width, picture.height)
    stored = Frame(*picture.stored_size, picture.orientation)
    own = _own_size(record)
    possible = [one for one in (upright, stored) if own is None or (one.width, one.height) == own[1]]
    if own is not None and not possible:
        (width, height), turned = own[1], own[1] == (picture.height, picture.width)
        why = (
            "its sides are swapped: the file may have lost its EXIF orientation"
            if turned
            else "the boxes may be for another version of it"
        )
        raise DataError(
            f"{record.id}: fields {own[0]} say {width}x{height} pixels, but {picture.path} has "
            f"{picture.width}x{picture.height}; {why}. Put the right file there, or correct the row; leave the "
            "two fields out if they are not the picture's size"
        )
    if picture.orientation == 1 or asked == "upright":
        return (upright,)
    return (stored,) if asked == "stored" else tuple(possible)


def refuse_unknown_frame(record: Record, picture: Picture, fits: str) -> None:
    """Raises the DataError for a picture that EXIF turns and whose record does not say what its boxes count in.
    `fits` says what is known of them."""
    width, height = picture.stored_size
    raise DataError(
        f"{record.id}: {picture.path} is turned by its EXIF orientation ({picture.orientation}): it has "
        f"{width}x{height} pixels as stored and {picture.width}x{picture.height} as seen, and nothing says which of "
        f"the two its boxes count in{fits}. Set task.frame to stored or to upright; `tunesmith show` draws the boxes"
    )


def _own_size(record: Record) -> tuple[str, tuple[int, int]] | None:
    """Names of the fields with the picture's size, and the size in pixels, if the record has any."""
    for across, down in SIZE_FIELDS:
        size = _pixels(record.fields.get(across)), _pixels(record.fields.get(down))
        if size[0] is not None and size[1] is not None:
            return f"{across!r} and {down!r}", (size[0], size[1])
    return None


def _pixels(value: Any) -> int | None:
    """A positive whole number, or the text of one, as CSV has it."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else 0.0
    except ValueError:
        return None
    return int(number) if number >= 1 and number.is_integer() else None
