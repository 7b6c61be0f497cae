"""Decoding: a picture's file as RGB pixels of its first frame, with its EXIF orientation applied."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

from tunesmith.errors import DataError
from tunesmith.images.jpeg2000 import metadata

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

_FORMS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM", "ICO", "TGA")
"""Forms that are read. Those that Pillow hands to another program, such as EPS, are not among them."""
_READ = "Possible are JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF and JPEG 2000"
_ORIENTATION = 0x0112
_DNG_VERSION = 0xC612
_TURNS = {
    2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE",
    6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90",
}  # fmt: skip
"""What puts a picture right, by its EXIF orientation (EXIF 2.32, table 6)."""
_MOST_16_BIT = 65535
_BIT_DEPTHS = (8, 10, 12, 14, 16)
"""Bits that scanners and X-ray detectors count in, all of which are stored in 16."""
_FEWEST_LEVELS = 32
"""Grey levels, of 256, that the values of a 16-bit picture must span; else its own range is stretched."""
_TAILS = (0.1, 99.9)
"""Percentiles between which the values of a 16-bit picture are measured: a few hot pixels do not darken it."""
_DARKEST_DEEP_COLOUR = 64
"""Below this level at the 99.9th percentile, a colour picture of 16 bits a channel holds fewer bits than it states."""
_GROUNDS = (255, 0, 128)
"""Grey levels that transparent parts may become, in the order in which they are tried."""
_CLOSE = 32
"""Levels within which an edge is lost on its ground."""
_MOST_LOST = 0.25
"""Share of the visible edges that may be lost on white before another ground is taken."""
RAW_ENDINGS = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf")
"""Raw files of cameras. Many are TIFF files, of which Pillow would decode a small preview."""
_FOREIGN = {
    b"%PDF": "PDF",
    b"%!PS": "PostScript",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "gzip",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\x93NUMPY": "an array of NumPy",
    b"version https://git-lfs": "a pointer of Git LFS (run `git lfs pull`)",
}


@dataclass(frozen=True)
class Decoded:
    """A decoded picture and what was done to its file on the way."""

    image: Image
    """RGB, upright, first frame."""
    orientation: int
    """EXIF orientation of the file (1 to 8); 1 is upright."""
    notes: tuple[str, ...] = ()
    """What was changed that a user may not expect, in words that stand after "pictures"."""


def decode_rgb(picture: Path | bytes, max_pixels: int | None = None) -> Image:
    """The picture of a file, or of its bytes, as RGB, with its EXIF orientation applied.

    Only the first frame is decoded, to its end.

    Transparent parts become white, or, where the edges of the visible parts would be lost on white, black or grey.
    Grey values of 16 bits are scaled by the smallest of 8, 10, 12, 14 or 16 bits that holds them; if that leaves
    them within 32 of 256 levels, by their own range. ValueError says, in words for the user, why it cannot be read;
    if it has more than `max_pixels`, that is found in its header, and nothing is decoded. DataError if Pillow is
    missing.
    """
    return decode(picture, max_pixels).image


def decode(picture: Path | bytes, max_pixels: int | None = None) -> Decoded:
    """The picture as `decode_rgb` returns it, its EXIF orientation, and what was done to it; raises the same."""
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
                    raise _RefusedError(
                        f"has {width} x {height} pixels, more than data.pictures.max_pixels ({max_pixels})."
                    )
                _refuse_raw(file, picture)
                is_deep = any(";16" in str(tile) for tile in file.tile)
                file.load()
                image, note = _rgb(file, is_deep)
                orientation = _orientation(file, picture)
                return Decoded(_turned(image, orientation), orientation, (note,) if note else ())
        except _RefusedError:
            raise
        except UnidentifiedImageError as error:
            raise ValueError(_no_picture(picture)) from error
        except OSError as error:
            raise ValueError(_unreadable(error)) from error
        except Exception as error:
            # Decoders raise whatever they like of damaged files: AVIF's a RuntimeError, others SyntaxError, EOFError.
            reason = str(error).splitlines()
            raise ValueError(
                f"is a broken picture ({reason[0] if reason else type(error).__name__})."
            ) from error


def num_pixels(picture: Path | bytes) -> int:
    """Width times height as the header of a file states them; 0 if it has none that can be read."""
    from PIL import Image

    with _own_limit():
        try:
            with Image.open(
                io.BytesIO(picture) if isinstance(picture, bytes) else picture, formats=_FORMS
            ) as file:
                return int(file.width * file.height)
        except Exception:  # `decode` says what is wrong with it.
            return 0


def is_picture(file: Path) -> bool:
    """True if the file's content begins like a picture that can be decoded, whatever its name. TGA has no such
    beginning."""
    from PIL import Image

    with _own_limit():
        try:
            with Image.open(file, formats=[form for form in _FORMS if form != "TGA"]):
                return True
        except Exception:  # Whatever a decoder raises of a file that is none of its own.
            return False


class _RefusedError(ValueError):
    """A picture that can be decoded and is not taken."""


def missing_library(name: str) -> str:
    """What to say when a library that pictures need is not installed."""
    return (
        f"data: pictures are read by {name}, which is not installed. Run `pip install 'tunesmith[vision]'`."
    )


def _rgb(image: Image, is_deep: bool) -> tuple[Image, str | None]:
    """The image as RGB, and what was done to it if that may not be expected; ValueError if its values have no known
    range. `is_deep` is true for a file with 16 bits a channel."""
    if image.mode.startswith("I"):
        return _from_16_bit(image)
    if image.mode == "F":
        raise _RefusedError(
            "holds floating-point numbers, whose range is not known. Save it with 8 bits a channel."
        )
    if image.has_transparency_data:
        rgb, note = _on_ground(image.convert("RGBA"))
    else:
        rgb, note = image if image.mode == "RGB" else image.convert("RGB"), None
    if is_deep:
        _require_all_bits(rgb)
    return rgb, note


def _from_16_bit(image: Image) -> tuple[Image, str | None]:
    """A grey picture of 16 bits as 8 bits, and how it was scaled."""
    from PIL import Image

    values = np.asarray(image)
    least, most = int(values.min()), int(values.max())
    if least < 0 or most > _MOST_16_BIT:
        raise _RefusedError(
            f"holds numbers from {least} to {most}, which is more than 16 bits. Save it with 8 bits a channel."
        )
    low, high = (float(one) for one in np.percentile(values, _TAILS))
    white = next(2**bits - 1 for bits in _BIT_DEPTHS if high < 2**bits)
    black, how = 0.0, f"the {white.bit_length()} bits that hold its values"
    if 0 < high - low < white * _FEWEST_LEVELS / 256:
        black, white, how = low, high, "the range of its values"
    scaled = np.clip((values - black) * (255 / (white - black)), 0, 255)
    note = f"of 16 bits were scaled by {how}" if white != _MOST_16_BIT else None
    return Image.fromarray(np.rint(scaled).astype(np.uint8)).convert("RGB"), note


def _require_all_bits(rgb: Image) -> None:
    """ValueError if a picture of 16 bits a channel, of which Pillow keeps the upper 8, has next to nothing in them."""
    high = float(np.percentile(np.asarray(rgb), _TAILS[1]))
    if high < _DARKEST_DEEP_COLOUR:
        raise _RefusedError(
            f"has 16 bits a channel, and nearly all of its values lie below {int(high) + 1} of 256 levels: it would be "
            "nearly black. Scale it to the whole range, or save it with 8 bits a channel."
        )


def _on_ground(layer: Image) -> tuple[Image, str | None]:
    """An RGBA picture on the first of white, black and grey on which its visible parts are seen, and which that was
    unless it is white; ValueError if nothing in it is visible."""
    from PIL import Image

    if not layer.getchannel("A").getextrema()[1]:
        raise _RefusedError(
            "is transparent everywhere: there is nothing to be seen in it. Save it without transparency."
        )
    colours, weights = _edges(np.asarray(layer))
    lost = [
        float(weights[np.abs(colours.astype(np.int16) - ground).max(axis=1, initial=0) < _CLOSE].sum())
        for ground in _GROUNDS
    ]
    fine = lost[0] <= _MOST_LOST * weights.sum()
    ground = _GROUNDS[0] if fine else _GROUNDS[lost.index(min(lost))]
    canvas = Image.new("RGBA", layer.size, (ground, ground, ground, 255))
    note = None if ground == _GROUNDS[0] else "with transparent parts were put on black or grey, not on white"
    return Image.alpha_composite(canvas, layer).convert("RGB"), note


def _edges(
    layer: UInt8[np.ndarray, "height width 4"],
) -> tuple[UInt8[np.ndarray, "edge 3"], Float[np.ndarray, " edge"]]:
    """Colours of the visible pixels next to more transparent ones, and how opaque each is (0 to 1)."""
    alpha = layer[..., 3]
    least = np.pad(alpha, 1, mode="edge")
    around = np.minimum.reduce([least[:-2, 1:-1], least[2:, 1:-1], least[1:-1, :-2], least[1:-1, 2:]])
    edge = (alpha > 0) & (around < alpha // 2)
    return layer[edge][:, :3], alpha[edge] / 255


def _refuse_raw(file: ImageFile, picture: Path | bytes) -> None:
    """Raise an error for a camera's raw file, of which only a small preview would be decoded."""
    from PIL.TiffImagePlugin import TiffImageFile

    is_dng = isinstance(file, TiffImageFile) and _DNG_VERSION in file.tag_v2
    if is_dng or (isinstance(picture, Path) and picture.suffix.lower() in RAW_ENDINGS):
        raise _RefusedError(f"is a camera's raw file. {_READ}: convert it.")


def _orientation(image: Image, picture: Path | bytes) -> int:
    """EXIF orientation; 1, which is upright, if EXIF data are missing or broken."""
    try:
        if image.format == "JPEG2000":
            block, xmp = metadata(picture if isinstance(picture, bytes) else picture.read_bytes())
            image.info |= {
                name: value for name, value in (("exif", block), ("xmp", xmp)) if value is not None
            }
        exif = image.getexif()
        orientation = int(exif.get(_ORIENTATION, 1))
        return orientation if orientation in _TURNS else 1
    except Exception:  # Whatever a broken block of EXIF data raises, the pixels are there.
        return 1


def _turned(image: Image, orientation: int) -> Image:
    from PIL import Image

    turn = _TURNS.get(orientation)
    return image.transpose(Image.Transpose[turn]) if turn else image


def _no_picture(picture: Path | bytes) -> str:
    """Why Pillow knows nothing of it, by its first bytes."""
    if isinstance(picture, bytes):
        start = picture[:132]
    else:
        with picture.open("rb") as file:
            start = file.read(132)
    if not start:
        return "is empty: it has no bytes."
    if start[4:8] == b"ftyp" and start[8:11] in (b"hei", b"hev", b"mif", b"msf"):
        return f"is HEIC. {_READ}: convert it."
    if start[128:] == b"DICM":
        return f"is DICOM. {_READ}: convert it."
    start = start[:64]
    foreign = next((name for begin, name in _FOREIGN.items() if start.startswith(begin)), None)
    if foreign:
        return f"is {foreign}. {_READ}."
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
