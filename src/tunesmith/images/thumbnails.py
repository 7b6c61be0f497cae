"""Small grey copies of pictures, kept on disk while data is prepared, by which look-alikes are found."""

from __future__ import annotations

import io
import threading
from array import array
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int, UInt8, UInt64

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 96
"""Rows and columns of a coarse thumbnail, whatever the shape of the picture."""
FINE_SIDE = 256
"""Rows and columns of a fine one, by which candidates are verified."""
_QUALITY = 85


def thumbnail_of(image: Image, side: int = SIDE) -> UInt8[np.ndarray, "side side"]:
    """The picture in grey, squeezed to a square."""
    from PIL.Image import Resampling

    return np.asarray(image.convert("L").resize((side, side), Resampling.LANCZOS, reducing_gap=3.0))


class Thumbnails:
    """Thumbnails of many pictures in two files, coarse ones as they are and fine ones as JPEG; safe to add to from
    several threads."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._coarse, self._fine = folder / "coarse", folder / "fine"
        self._contents = array("Q")
        self._ends = array("Q", [0])
        self._lock = threading.Lock()
        self._rows: Int[np.ndarray, " picture"] = np.empty(0, np.int64)

    def add(self, sha256: str, image: Image) -> None:
        """Take in the picture whose file has this hash."""
        from PIL import Image as Pillow

        grey = image.convert("L")
        pixels = thumbnail_of(grey).tobytes()
        stream = io.BytesIO()
        Pillow.fromarray(thumbnail_of(grey, FINE_SIDE)).save(stream, "JPEG", quality=_QUALITY)
        with self._lock, self._coarse.open("ab") as coarse, self._fine.open("ab") as fine:
            coarse.write(pixels)
            self._ends.append(self._ends[-1] + fine.write(stream.getvalue()))
            self._contents.append(int(sha256[:16], 16))

    def coarse(self, contents: UInt64[np.ndarray, " picture"]) -> UInt8[np.ndarray, "picture 96 96"]:
        """The coarse thumbnails of pictures, by the first 64 bits of their files' hashes, on disk in the order asked
        for; `fine` then goes by the same order."""
        stored = np.array(self._contents, dtype=np.uint64)
        order = np.argsort(stored, kind="stable")
        self._rows = order[np.searchsorted(stored[order], contents)]
        given = np.memmap(self._coarse, np.uint8, "r", shape=(len(stored), SIDE, SIDE))
        asked = np.memmap(self._coarse.with_name("asked"), np.uint8, "w+", shape=(len(contents), SIDE, SIDE))
        for start in range(0, len(contents), 1024):
            asked[start : start + 1024] = given[self._rows[start : start + 1024]]
        return asked

    def fine(self, number: int) -> UInt8[np.ndarray, "256 256"]:
        """The fine thumbnail of a picture, by its number among those that `coarse` was asked for."""
        from PIL import Image as Pillow

        row = int(self._rows[number])
        with self._fine.open("rb") as file:
            file.seek(self._ends[row])
            content = file.read(self._ends[row + 1] - self._ends[row])
        return np.asarray(Pillow.open(io.BytesIO(content)))
