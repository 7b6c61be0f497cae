"""Pictures of handwritten digits on a canvas, with the place of each."""

from __future__ import annotations

import colorsys
import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from tunesmith.errors import DataError
from tunesmith.images.decode import missing_library

if TYPE_CHECKING:
    from PIL.Image import Image

Size = tuple[int, int]
Corners = tuple[int, int, int, int]
Colour = int | tuple[int, int, int]

GAP = 4
"""Pixels between two digits, at least."""
_LARGE = 160
"""Side in pixels to which a sample of 8 x 8 is enlarged before it is cut out and brought to its size."""
_FAINTEST, _FULL = 0.3, 0.75
"""Shares of the pen's pressure at which ink begins and is at its darkest: enlarged strokes get clear edges."""
_VISIBLE = 40
"""Of 255: fainter ink is left out, so that a box is as tight as it looks."""
_MOTTLES = 8
"""Cells of mottled paper from side to side."""
_STEPS = [level // 16 * 17 for level in range(256)]
"""What a level of mottled paper becomes: smooth slopes make large PNG files, slowly."""
_NUM_LAYOUTS, _NUM_PLACES = 8, 20


@dataclass(frozen=True)
class Digit:
    """A digit on a canvas."""

    value: int
    box: Corners
    """Left, top, right, bottom of its ink in pixels; right and bottom are the first pixels without ink."""

    @property
    def size(self) -> int:
        """Pixels of its longer side."""
        left, top, right, bottom = self.box
        return max(right - left, bottom - top)

    @property
    def middle(self) -> float:
        """Pixels from the canvas's left side to the middle of the digit."""
        return (self.box[0] + self.box[2]) / 2


@dataclass(frozen=True)
class Scene:
    """A canvas and its digits, from left to right."""

    png: bytes
    width: int
    digits: tuple[Digit, ...]

    @property
    def values(self) -> list[int]:
        """What the digits are."""
        return [digit.value for digit in self.digits]


@dataclass(frozen=True)
class Style:
    """How ink and paper look."""

    light_ink: bool
    """Light digits on dark paper, else dark ones on light paper."""
    coloured: bool
    """Paper and each digit in colours by chance, else grey paper and black or white digits."""
    mottled: bool
    """Paper of two shades that flow into one another by chance, else of one."""

    def paper(self, canvas: Size, chance: Random) -> Image:
        """A canvas without digits."""
        from PIL import Image

        light = not self.light_ink
        paper = Image.new("RGB" if self.coloured else "L", canvas, self._shade(light, 0.0, chance))
        if self.mottled:
            cells = Image.frombytes("L", (_MOTTLES, _MOTTLES), chance.randbytes(_MOTTLES**2))
            mottles = cells.resize(canvas, Image.Resampling.BICUBIC).point(_STEPS)
            paper.paste(self._shade(light, 1.0, chance), (0, 0, *canvas), mottles)
        return paper

    def ink(self, chance: Random) -> Colour:
        """The colour of a digit."""
        return self._shade(self.light_ink, chance.random() if self.coloured else 0.0, chance)

    def _shade(self, light: bool, faintness: float, chance: Random) -> Colour:
        """White or black, or of any hue; faint (at most 1) is nearer to the middle of light and dark."""
        if not self.coloured:
            return round(255 - 65 * faintness if light else 65 * faintness)
        saturation = chance.uniform(0.05, 0.3) if light else chance.uniform(0.6, 1.0)
        brightness = 1 - 0.2 * faintness if light else 0.2 + 0.3 * faintness
        red, green, blue = colorsys.hsv_to_rgb(chance.random(), saturation, brightness)
        return round(red * 255), round(green * 255), round(blue * 255)


class Handwriting:
    """A share of scikit-learn's handwritten digits, ready to be drawn."""

    def __init__(self, samples: tuple[float, float], digits: Sequence[int]) -> None:
        """The samples from the first to the second share of all. DataError if one of `digits` is not among them,
        or a library is missing."""
        try:
            from sklearn.datasets import load_digits
        except ImportError as error:
            raise DataError(
                "digits: the handwritten digits come with scikit-learn, which is not installed. "
                "Run `pip install scikit-learn`."
            ) from error
        try:
            import PIL  # noqa: F401
        except ImportError as error:
            raise DataError(missing_library("pillow")) from error
        data = load_digits()
        first, end = (round(share * len(data.target)) for share in samples)
        self._grids = data.images[first:end]
        self._by_value: dict[int, list[int]] = defaultdict(list)
        for index, value in enumerate(data.target[first:end].tolist()):
            self._by_value[value].append(index)
        missing = sorted(set(digits) - self._by_value.keys())
        if missing:
            raise DataError(
                f"digits: samples {list(samples)} are {end - first} of {len(data.target)} handwritten digits, and "
                f"none of them is a {' or '.join(map(str, missing))}. Widen data.source.samples, or leave these out "
                "of data.source.digits."
            )
        self._stamps: dict[int, Image] = {}

    def stamp(self, value: int, chance: Random) -> Image:
        """One sample of this digit, large, cut to its ink: 255 is ink and 0 is none."""
        index = chance.choice(self._by_value[value])
        if index not in self._stamps:
            self._stamps[index] = self._enlarged(index)
        return self._stamps[index]

    def _enlarged(self, index: int) -> Image:
        import numpy as np
        from PIL import Image

        pressure = np.pad(self._grids[index] / 16, 1).astype(np.float32)
        smooth = Image.fromarray(pressure).resize((_LARGE, _LARGE), Image.Resampling.BICUBIC)
        ink = np.clip((np.asarray(smooth) - _FAINTEST) / (_FULL - _FAINTEST), 0, 1)
        return _cut(Image.fromarray(np.rint(255 * ink).astype(np.uint8)))[0]


def draw(
    stamps: Sequence[tuple[int, Image]], canvas: Size, sizes: Size, style: Style, chance: Random
) -> Scene:
    """The digits of these stamps, of sizes by chance, none touching another, somewhere on a canvas."""
    from PIL import Image

    picture = style.paper(canvas, chance)
    places = _layout([stamp.size for _, stamp in stamps], canvas, sizes, chance)
    digits = []
    for (value, stamp), (left, top, right, bottom) in zip(stamps, places, strict=True):
        ink, (right_by, down_by) = _cut(stamp.resize((right - left, bottom - top), Image.Resampling.BICUBIC))
        left, top = left + right_by, top + down_by
        picture.paste(style.ink(chance), (left, top), ink)
        digits.append(Digit(value, (left, top, left + ink.width, top + ink.height)))
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return Scene(file.getvalue(), canvas[0], tuple(sorted(digits, key=lambda digit: digit.box)))


def room_for(canvas: Size, size: int) -> int:
    """How many digits of this size surely fit on a canvas."""
    return (canvas[0] // (size + GAP)) * (canvas[1] // (size + GAP))


def _layout(shapes: Sequence[Size], canvas: Size, sizes: Size, chance: Random) -> list[Corners]:
    """A place for each of these shapes. If they do not fit in a few tries, the largest size is lowered step by
    step, and in the end they stand on a grid."""
    smallest, largest = sizes
    for step in range(_NUM_LAYOUTS):
        most = largest - (largest - smallest) * step // (_NUM_LAYOUTS - 1)
        scaled = [_scaled(shape, chance.randint(smallest, most)) for shape in shapes]
        places = _scattered(scaled, canvas, chance)
        if len(places) == len(shapes):
            return places
    return list(_on_a_grid([_scaled(shape, smallest) for shape in shapes], canvas, smallest, chance))


def _scaled(shape: Size, size: int) -> Size:
    longer = max(shape)
    return max(1, round(shape[0] * size / longer)), max(1, round(shape[1] * size / longer))


def _scattered(shapes: Sequence[Size], canvas: Size, chance: Random) -> list[Corners]:
    """Places by chance; fewer than shapes if one found no room."""
    places: list[Corners] = []
    for width, height in shapes:
        for _ in range(_NUM_PLACES):
            left, top = chance.randint(0, canvas[0] - width), chance.randint(0, canvas[1] - height)
            place = (left, top, left + width, top + height)
            if not any(_near(place, other) for other in places):
                places.append(place)
                break
        else:
            return places
    return places


def _near(first: Corners, other: Corners) -> bool:
    across = first[0] < other[2] + GAP and other[0] < first[2] + GAP
    return across and first[1] < other[3] + GAP and other[1] < first[3] + GAP


def _on_a_grid(shapes: Sequence[Size], canvas: Size, size: int, chance: Random) -> Iterator[Corners]:
    columns, rows = (side // (size + GAP) for side in canvas)
    cells = chance.sample(range(columns * rows), len(shapes))
    for (width, height), cell in zip(shapes, cells, strict=True):
        row, column = divmod(cell, columns)
        left, top = column * canvas[0] // columns, row * canvas[1] // rows
        yield left, top, left + width, top + height


def _cut(ink: Image) -> tuple[Image, tuple[int, int]]:
    """The visible ink, cut out, and how far from left and top it stood."""
    import numpy as np
    from PIL import Image

    levels = np.asarray(ink)
    visible = Image.fromarray(np.where(levels < _VISIBLE, np.uint8(0), levels))
    left, top, right, bottom = visible.getbbox() or (0, 0, *ink.size)
    return visible.crop((left, top, right, bottom)), (left, top)
