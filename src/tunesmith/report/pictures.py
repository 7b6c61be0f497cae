"""Pictures of held-out records as small copies inside the page, with the boxes that are there and that were said."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tunesmith.errors import DataError, counted
from tunesmith.evaluate.rows import Row
from tunesmith.report.examples import Example, Group

MOST_PICTURES = 40
"""The page holds at most this many pictures, so that it stays small enough to send."""
MOST_OF_AN_EXAMPLE = 4
LONGEST_SIDE = 320
"""Pixels."""
_QUALITY = 80


@dataclass(frozen=True)
class Thumbnail:
    """A small copy of a picture. It is in the page once, by its id, however often it is shown."""

    id: str
    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class DrawnBox:
    """A box in the pixels of a thumbnail."""

    kind: Literal["true", "said"]
    label: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class View:
    """One look at a picture."""

    title: str
    """Whose boxes are drawn; nothing for a picture without boxes."""
    says: str
    """In words what it shows, for those who do not see it."""
    thumbnail: Thumbnail | None
    why: str
    """Why there is no thumbnail."""
    boxes: tuple[DrawnBox, ...] = ()
    are_labelled: bool = False
    """True if the boxes are of several kinds, so that each needs its label."""


@dataclass(frozen=True)
class Views:
    """What is seen of one example."""

    views: tuple[View, ...]
    have_boxes: bool
    left_out: int
    """Pictures of the example that are too many to show."""


class Album:
    """Takes pictures in until the page has enough of them."""

    def __init__(self, most: int = MOST_PICTURES) -> None:
        self.most = most
        self.lack: str | None = None
        """Why no picture at all can be shown."""
        self._known: dict[str, Thumbnail | str] = {}

    @property
    def thumbnails(self) -> list[Thumbnail]:
        """All that are shown."""
        return [one for one in self._known.values() if isinstance(one, Thumbnail)]

    def take(self, file: str) -> Thumbnail | str:
        """The thumbnail of a file, or why there is none."""
        if file not in self._known:
            self._known[file] = self._made(file)
        return self._known[file]

    def _made(self, file: str) -> Thumbnail | str:
        if self.lack is not None:
            return self.lack
        if len(self.thumbnails) >= self.most:
            return f"{file} is not shown: the page has its {counted(self.most, 'picture')}."
        try:
            return _thumbnail(Path(file), f"picture-{len(self._known)}")
        except ValueError as error:
            return f"{file} {error}"
        except DataError:
            self.lack = (
                "Pillow is not installed; run `pip install 'tunesmith[vision]'` and `tunesmith report`."
            )
            return self.lack


def views_of(groups: Sequence[Group], album: Album) -> dict[str, Views]:
    """What is seen of each example that has pictures, by its record."""
    examples = {example.row.record: example for group in groups for example in group.shown}
    return {record: _views(example, album) for record, example in examples.items() if example.row.pictures}


def _views(example: Example, album: Album) -> Views:
    row = example.row
    if not row.boxes and not boxes_said(row) and "iou" not in row.marks:
        shown = row.pictures[:MOST_OF_AN_EXAMPLE]
        views = tuple(
            _view("", f"Picture {number} of {row.record}", album.take(file))
            for number, file in enumerate(shown, 1)
        )
        return Views(views, have_boxes=False, left_out=len(row.pictures) - len(shown))
    picture = album.take(row.pictures[0])
    sides = [(name, one) for name, one in (("Base", example.base), ("Tuned", example.tuned)) if one]
    return Views(tuple(_located(name, one, picture) for name, one in sides), have_boxes=True, left_out=0)


def _view(title: str, says: str, picture: Thumbnail | str, boxes: Iterable[DrawnBox] = ()) -> View:
    if isinstance(picture, str):
        return View(title, says, None, picture)
    boxes = tuple(boxes)
    return View(title, says, picture, "", boxes, are_labelled=len({box.label for box in boxes}) > 1)


def _located(name: str, row: Row, picture: Thumbnail | str) -> View:
    said, iou = boxes_said(row), row.marks.get("iou")
    found = "unread" if row.unread is not None else f"{counted(len(said), 'box', 'boxes')} said"
    title = f"{name}: {found}" + ("" if iou is None or row.unread is not None else f", IoU {iou:.2f}")
    if isinstance(picture, str):
        return _view(title, title, picture)
    boxes = [
        *(_drawn("true", box, picture) for box in row.boxes),
        *(_drawn("said", box, picture) for box in said),
    ]
    return _view(
        title,
        f"{title}; {counted(len(row.boxes), 'box', 'boxes')} true. Picture of {row.record}",
        picture,
        boxes,
    )


def boxes_said(row: Row) -> list[dict[str, Any]]:
    """The boxes of a row's reading: each a label and its corners as shares; none if the reading is none."""
    said = row.reading if isinstance(row.reading, list) else []
    return [box for box in said if isinstance(box, dict) and len(box.get("corners", ())) == 4]


def _drawn(kind: Literal["true", "said"], box: Any, picture: Thumbnail) -> DrawnBox:
    left, top, right, bottom = (min(max(float(one), 0.0), 1.0) for one in box["corners"])
    return DrawnBox(
        kind,
        str(box.get("label", "")),
        x=round(left * picture.width, 1),
        y=round(top * picture.height, 1),
        width=round(max(right - left, 0.0) * picture.width, 1),
        height=round(max(bottom - top, 0.0) * picture.height, 1),
    )


def _thumbnail(file: Path, name: str) -> Thumbnail:
    """A small JPEG of the file; ValueError if it cannot be read, DataError without Pillow."""
    from tunesmith.images.decode import decode_rgb

    image = decode_rgb(file)
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    uri = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    return Thumbnail(name, uri, image.width, image.height)
