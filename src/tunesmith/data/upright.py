"""A picture's file as a model looks at it: RGB, turned as its EXIF orientation says, its first frame only."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

_FORMS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM", "ICO", "TGA")
"""Forms that are read. Those that Pillow hands to another program, such as EPS, are not among them."""
_READ = "Possible are JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF and JPEG 2000"
_ORIENTATION = 0x0112
_TURNS = {
    2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE",
    6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90",
}  # fmt: skip
"""What puts a picture right, by its EXIF orientation (EXIF 2.32, table 6)."""
_MOST_16_BIT = 65535
_FOREIGN = {
    b"%PDF": "PDF",
    b"%!PS": "PostScript",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "gzip",
    b"version https://git-lfs": "a pointer of Git LFS (run `git lfs pull`)",
}


def open_upright(picture: Path | bytes, max_pixels: int | None = None) -> Image:
    """The picture of a file, or of its bytes, decoded to its end: RGB, turned as its EXIF orientation says, first
    frame, transparent parts on white, 16 bits scaled to 8.

    ValueError says, in words for the user, why it cannot be read; if it has more than `max_pixels`, that is
    found in its header, and nothing is decoded. DataError if Pillow is missing.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise DataError(missing_library("pillow")) from error

    with _own_limit():
        try:
            with Image.open(
                io.BytesIO(picture) if isinstance(picture, bytes) else picture, formats=_FORMS
            ) as file:
                width, height = file.size
                if max_pixels is not None and width * height > max_pixels:
                    raise ValueError(
                        f"has {width} x {height} pixels, more than data.pictures.max_pixels ({max_pixels})."
                    )
                file.load()
                return _turned(_rgb(file), _orientation(file))
        except UnidentifiedImageError as error:
            raise ValueError(_no_picture(picture)) from error
        except OSError as error:
            raise ValueError(_unreadable(error)) from error
        except (SyntaxError, EOFError, IndexError, TypeError, KeyError, OverflowError, MemoryError) as error:
            raise ValueError(f"is a broken picture ({str(error) or type(error).__name__}).") from error


def missing_library(name: str) -> str:
    """What to say when a library that pictures need is not installed."""
    return (
        f"data: pictures are read by {name}, which is not installed. Run `pip install 'tunesmith[vision]'`."
    )


def _rgb(image: Image) -> Image:
    """The image as RGB; ValueError if its values have no known range."""
    from PIL import Image

    if image.mode.startswith("I"):
        return _from_16_bit(image)
    if image.mode == "F":
        raise ValueError(
            "holds floating-point numbers, whose range is not known. Save it with 8 bits a channel."
        )
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert("RGB")


def _from_16_bit(image: Image) -> Image:
    import numpy as np
    from PIL import Image

    values = np.asarray(image)
    least, most = int(values.min()), int(values.max())
    if least < 0 or most > _MOST_16_BIT:
        raise ValueError(
            f"holds numbers from {least} to {most}, which is more than 16 bits. Save it with 8 bits a channel."
        )
    return Image.fromarray(np.rint(values / (_MOST_16_BIT / 255)).astype(np.uint8)).convert("RGB")


def _orientation(image: Image) -> int:
    """EXIF orientation; 1, which is upright, if EXIF data are missing or broken."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # Whatever a broken block of EXIF data raises, the pixels are there.
        return 1


def _turned(image: Image, orientation: int) -> Image:
    from PIL import Image

    turn = _TURNS.get(orientation)
    return image.transpose(Image.Transpose[turn]) if turn else image


def _no_picture(picture: Path | bytes) -> str:
    """Why Pillow knows nothing of it, by its first bytes."""
    if isinstance(picture, bytes):
        start = picture[:64]
    else:
        with picture.open("rb") as file:
            start = file.read(64)
    if not start:
        return "is empty: it has no bytes."
    if start[4:8] == b"ftyp" and start[8:11] in (b"hei", b"hev", b"mif", b"msf"):
        return f"is HEIC. {_READ}: convert it."
    foreign = next((name for begin, name in _FOREIGN.items() if start.startswith(begin)), None)
    if foreign:
        return f"is {foreign}, not a picture. {_READ}."
    try:
        text = start.decode("utf-8", "strict" if len(start) < 64 else "ignore")
    except UnicodeDecodeError:
        text = ""
    if text and len(text.encode()) > len(start) - 4 and all(c.isprintable() or c.isspace() for c in text):
        return f"is text, not a picture (it begins {text[:30]!r}). {_READ}."
    return f"is no picture of a known form. {_READ}."


def _unreadable(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "does not exist."
    if isinstance(error, IsADirectoryError):
        return "is a folder, not a picture."
    if isinstance(error, PermissionError):
        return "may not be read: permission is denied."
    if "truncated" in str(error):
        return f"is cut off ({error}). Copy or load it again."
    return f"is a broken picture ({error})."


_limit = threading.Lock()
_num_reading = 0
_theirs: int | None = None


@contextmanager
def _own_limit() -> Iterator[None]:
    """Without Pillow's own limit of pixels, of which it warns, and which no number of ours could raise; put back
    when no thread reads any more."""
    from PIL import Image

    global _num_reading, _theirs
    with _limit:
        _num_reading += 1
        if _num_reading == 1:
            _theirs, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        with _limit:
            _num_reading -= 1
            if not _num_reading:
                Image.MAX_IMAGE_PIXELS = _theirs
