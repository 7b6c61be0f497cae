"""Pictures for tests: no two of different numbers look alike, and all versions of one do."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def scene(number: int, width: int = 96, height: int = 64) -> Image.Image:
    """Soft blobs of colour, other ones for every number."""
    chance = np.random.default_rng(number)
    small = Image.fromarray(chance.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def saved(image: Image.Image, form: str = "PNG", **given: Any) -> bytes:
    """The bytes of its file."""
    stream = io.BytesIO()
    image.save(stream, form, **given)
    return stream.getvalue()


def put(path: Path, image: Image.Image, **given: Any) -> Path:
    """Its file, in a folder that is made if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **given)
    return path
