from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.images.made import saved
from tunesmith.errors import DataError
from tunesmith.images.decode import decode_rgb
from tunesmith.images.picture import Picture
from tunesmith.records.record import Record
from tunesmith.tasks import _frames
from tunesmith.tasks._boxes import Notation, boxes_at
from tunesmith.tasks._frames import BoxFrame

IN_PIXELS = Notation("xyxy", "pixels")


def turned(orientation: int = 6) -> Picture:
    """A picture of 640x480 pixels as stored."""
    size = (480, 640) if orientation >= 5 else (640, 480)
    return Picture("p/3.jpg", "0" * 64, *size, "0" * 16, orientation=orientation)


def corners(
    box: list[float], frame: BoxFrame | None = None, orientation: int = 6, **fields: Any
) -> tuple[float, ...]:
    record = Record("a.jsonl:3", {"box": box, **fields})
    return boxes_at(record, "box", turned(orientation), IN_PIXELS, frame)[0]


def test_the_examples_in_the_docstrings_are_true() -> None:
    assert doctest.testmod(_frames).failed == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_of_the_stored_picture_lie_where_the_thing_is_seen(orientation: int) -> None:
    values = np.zeros((48, 64), np.uint8)
    values[10:20, 8:40] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    seen = np.asarray(decode_rgb(saved(Image.fromarray(values), exif=exif)).convert("L"))
    rows, columns = np.nonzero(seen)
    picture = Picture("a", "0" * 64, seen.shape[1], seen.shape[0], "0" * 16, orientation=orientation)
    record = Record("a.jsonl:1", {"box": [8, 10, 40, 20]})
    (got,) = boxes_at(record, "box", picture, IN_PIXELS, "stored")
    left, top, right, bottom = (share * (64, 48)[i % 2 ^ (orientation >= 5)] for i, share in enumerate(got))
    wanted = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert (left, top, right, bottom) == pytest.approx(wanted)


def test_the_records_own_size_tells_which_picture_its_boxes_count_in() -> None:
    stored = corners([100, 60, 300, 200], width=640, height=480)
    assert (
        stored
        == corners([100, 60, 300, 200], "stored")
        == pytest.approx((1 - 200 / 480, 100 / 640, 1 - 60 / 480, 300 / 640))
    )
    upright = corners([100, 60, 300, 200], image_width="480", image_height="640.0")
    assert (
        upright
        == corners([100, 60, 300, 200], "upright")
        == pytest.approx((100 / 480, 60 / 640, 300 / 480, 200 / 640))
    )


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_turned_picture_is_refused_where_nothing_tells(orientation: int) -> None:
    with pytest.raises(DataError, match=r"a.jsonl:3: p/3.jpg is turned by its EXIF orientation \(.\).*they fit both. "
                       "Set task.frame to stored or to upright"):  # fmt: skip
        corners([100, 60, 300, 200], orientation=orientation)


def test_boxes_that_fit_one_of_the_two_only_are_never_read_in_the_other() -> None:
    with pytest.raises(DataError, match="they fit only the stored one"):
        corners([400, 60, 600, 200])
    assert corners([100, 500, 300, 620]) == corners([100, 500, 300, 620], "upright")


@pytest.mark.parametrize(
    ("orientation", "size", "why"),
    [
        (1, (1280, 960), r"'width' and 'height' say 1280x960 pixels, but p/3.jpg has 640x480; the boxes may be for "
         "another version"),
        (1, (480, 640), "sides are swapped: the file may have lost its EXIF orientation"),
        (6, (1280, 960), "the boxes may be for another version"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("frame", [None, "upright", "stored"])
def test_a_size_of_the_records_own_that_is_not_the_files_is_a_bad_row(
    orientation: int, size: tuple[int, int], why: str, frame: BoxFrame | None
) -> None:
    with pytest.raises(DataError, match=why):
        corners([1, 2, 30, 40], frame, orientation, width=size[0], height=size[1])


@pytest.mark.parametrize("size", [(None, None), ("", ""), ("wide", "high"), (0.5, 0.2), (True, True)])
def test_fields_that_are_no_size_in_pixels_are_passed_over(size: tuple[Any, Any]) -> None:
    assert corners([0, 0, 64, 48], None, 1, width=size[0], height=size[1]) == (0, 0, 0.1, 0.1)
