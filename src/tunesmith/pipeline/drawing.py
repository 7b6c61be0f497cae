"""Pictures as the model sees them, with the boxes that an answer names: for the eye, and to find swapped corners."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.text import Text

from tunesmith.batching.decode_workers import read_patches
from tunesmith.batching.example import Placed
from tunesmith.files import whole_file
from tunesmith.images.boxes import Box

if TYPE_CHECKING:
    from PIL.Image import Image

COLOURS = ("#ffd400", "#00e5ff", "#ff7bf2", "#8cff66", "#ff9f4a", "#a9bcff")
"""Of labels, in the order in which they come; all are light, so that black text can stand on them."""
LEAST_SIDE = 448
"""Pixels that a drawing's longer side has at least, nearly: smaller pictures are enlarged in whole steps."""
PREVIEW_COLUMNS, PREVIEW_LINES = 40, 20
_UPPER_HALF = "▀"


def as_seen(placed: Placed) -> Image:
    """The picture as the model sees it, put together again from its very patches; DataError if its file is not what
    it was when the data was prepared."""
    patch, merge = placed.patch_size, placed.merge_size
    patches = read_patches([placed], workers=1)

    from PIL import Image

    grid = patches.reshape(placed.rows, placed.columns, merge, merge, 3, patch, patch)
    laid_out = grid.transpose(0, 2, 5, 1, 3, 6, 4).reshape(placed.height, placed.width, 3)
    return Image.fromarray(np.ascontiguousarray(laid_out))


def draw(image: Image, boxes: Sequence[Box], path: Path) -> None:
    """Write the image with its boxes and their labels as a PNG file."""
    from PIL.Image import Resampling

    times = max(1, LEAST_SIDE // max(image.size))
    image = image.resize((image.width * times, image.height * times), Resampling.NEAREST)
    with whole_file(path) as temporary:
        with_boxes(image, boxes, max(2, max(image.size) // 250)).save(temporary, "PNG")


def with_boxes(image: Image, boxes: Sequence[Box], line: int, labelled: bool = True) -> Image:
    """A copy of the image with boxes in lines of so many pixels, between thin black ones; labels beside them.

    A label that the font at hand cannot write stands there as the number of its box in the answer.
    """
    from PIL import ImageDraw, ImageFont

    image = image.copy()
    canvas = ImageDraw.Draw(image)
    colours = dict(zip(dict.fromkeys(box.label for box in boxes), COLOURS * len(boxes), strict=False))
    for box in boxes:
        left, top, right, bottom = _pixels(box, image)
        if labelled:
            edges = (left - line, top - line, right + line, bottom + line)
            canvas.rectangle(edges, outline="black", width=line + 2)
        canvas.rectangle((left, top, right, bottom), outline=colours[box.label], width=line)
    if labelled:
        font = ImageFont.load_default(max(12, max(image.size) // 40))
        for number, box in enumerate(boxes, 1):
            told = box.label if max(map(ord, box.label)) < 256 else f"{number}"
            left, top, _, _ = _pixels(box, image)
            width, height = canvas.textbbox((0, 0), told, font=font)[2:]
            x = max(0, min(left, image.width - width - 4))
            y = top - height - 4 - line if top - height - 4 - line >= 0 else top + line
            canvas.rectangle((x, y, x + width + 4, y + height + 4), fill=colours[box.label])
            canvas.text((x + 2, y + 1), told, fill="black", font=font)
    return image


def preview(image: Image, boxes: Sequence[Box]) -> Text:
    """The image in a few lines of coloured half blocks, for a terminal."""
    columns = min(PREVIEW_COLUMNS, max(1, round(2 * PREVIEW_LINES * image.width / image.height)))
    lines = min(PREVIEW_LINES, max(1, round(columns * image.height / image.width / 2)))
    small = with_boxes(image.resize((columns, 2 * lines)), boxes, line=1, labelled=False)
    values = np.asarray(small).reshape(lines, 2, columns, 3).tolist()
    text = Text()
    for upper, lower in values:
        for one, other in zip(upper, lower, strict=True):
            colours = (f"rgb({red},{green},{blue})" for red, green, blue in (one, other))
            text.append(_UPPER_HALF, style=" on ".join(colours))
        text.append("\n")
    return text


def _pixels(box: Box, image: Image) -> tuple[int, int, int, int]:
    """First and last column and row of the box, inside the image."""
    sides = (image.width, image.height) * 2
    left, top, right, bottom = (round(share * side) for share, side in zip(box.corners, sides, strict=True))
    left, top = min(left, image.width - 1), min(top, image.height - 1)
    return left, top, max(left, right - 1), max(top, bottom - 1)
