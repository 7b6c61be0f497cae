"""From a picture's file to the patches that a model sees; read when a batch needs them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from tunesmith.batching.example import Placed
from tunesmith.images.decode import decode_rgb


def empty(pictures: Sequence[Placed]) -> UInt8[np.ndarray, "patch value"]:
    """Room for the patches of these pictures."""
    num_patches = sum(placed.num_patches for placed in pictures)
    return np.empty((num_patches, 3 * pictures[0].patch_size ** 2), np.uint8)


def fill(placed: Placed, place: UInt8[np.ndarray, "patch value"]) -> str | None:
    """What is wrong with the picture's file, or None once its place holds its patches."""
    file = placed.picture.file
    try:
        content = file.read_bytes()
        if hashlib.sha256(content).hexdigest() != placed.picture.sha256:
            return f"{file}: has changed since the data was prepared (its sha256 is another)."
        image = decode_rgb(content)
    except OSError as error:
        return f"{file}: cannot be read ({error.strerror or error})."
    except ValueError as error:
        return f"{file}: {error}"
    from PIL.Image import Resampling

    size = (placed.width, placed.height)
    _cut(np.asarray(image if image.size == size else image.resize(size, Resampling.BICUBIC)), placed, place)
    return None


def _cut(
    image: UInt8[np.ndarray, "height width 3"], placed: Placed, place: UInt8[np.ndarray, "patch value"]
) -> None:
    """Lays the image into its place, patch by patch, in one copy."""
    patch, merge = placed.patch_size, placed.merge_size
    grid = image.reshape(placed.rows, merge, patch, placed.columns, merge, patch, 3)
    laid_out = place.reshape(placed.rows, placed.columns, merge, merge, 3, patch, patch)
    laid_out[...] = grid.transpose(0, 3, 1, 4, 6, 2, 5)
