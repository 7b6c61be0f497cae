"""The size in which a model sees a picture: full tokens in both directions, near the picture's own shape."""

from __future__ import annotations

import math

from tunesmith.config.experiment import Pixels

_LONGEST_RATIO = 200
"""Greatest ratio of the longer side to the shorter one that vision models take."""


def target_size(
    width: int, height: int, pixels: Pixels, factor: int, default_min: int, default_max: int
) -> tuple[int, int]:
    """Rows and columns of tokens for a picture of `width` by `height` pixels; a token is `factor` pixels each way.

    Both sides are rounded to whole tokens; then, if that is more than `max` pixels or fewer than `min`, shrunk or
    enlarged in proportion (Qwen-VL's `smart_resize`). What `pixels` does not set is `default_min` and
    `default_max`; a default gives way to a limit that is set beyond it. `pixels.longest_side` shrinks first;
    `pixels.size` replaces the picture's own size and knows no limits. ValueError if one side of the picture is more
    than 200 times the other and no `pixels.size` is set.
    """
    if pixels.size is not None:
        width, height = pixels.size
        return max(1, round(height / factor)), max(1, round(width / factor))
    _require_shape(width, height)
    if pixels.longest_side is not None:
        width, height = _within(width, height, pixels.longest_side)
    least, most = pixel_limits(pixels, default_min, default_max)
    rows, columns = round(height / factor), round(width / factor)
    if rows * columns * factor**2 > most:
        shrink = math.sqrt(width * height / most)
        return max(1, math.floor(height / shrink / factor)), max(1, math.floor(width / shrink / factor))
    if rows * columns * factor**2 < least:
        enlarge = math.sqrt(least / (width * height))
        return math.ceil(height * enlarge / factor), math.ceil(width * enlarge / factor)
    return rows, columns


def pixel_limits(pixels: Pixels, default_min: int, default_max: int) -> tuple[int, int]:
    """Fewest and most pixels of a picture as the model sees it."""
    least = pixels.min or min(default_min, pixels.max or default_min)
    return least, pixels.max or max(default_max, least)


def _within(width: int, height: int, longest_side: int) -> tuple[int, int]:
    """Width and height, shrunk in proportion if the longer is more than this."""
    shrink = max(width, height) / longest_side
    if shrink <= 1:
        return width, height
    return max(1, round(width / shrink)), max(1, round(height / shrink))


def _require_shape(width: int, height: int) -> None:
    ratio = max(width, height) / min(width, height)
    if ratio > _LONGEST_RATIO:
        raise ValueError(
            f"is {width} x {height} pixels: one side is {ratio:.0f} times the other, and the model takes pictures "
            f"up to {_LONGEST_RATIO} times. Crop it, or set model.pixels.size."
        )
