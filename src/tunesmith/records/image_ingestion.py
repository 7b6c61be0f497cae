"""Takes the pictures of records: what a field says of a picture (path or bytes) becomes a `Picture`.

Happens while records are read, before a task sees them. Every file is read to its end once, by several threads;
records keep their order.
"""

from __future__ import annotations

import errno
import hashlib
import os
import struct
import threading
from base64 import b64decode
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from tunesmith.config.experiment import Pictures
from tunesmith.errors import DataError, counted, did_you_mean, in_words
from tunesmith.images.decode import Decoded, decode, missing_library
from tunesmith.images.picture import Picture
from tunesmith.images.thumbnails import Thumbnails
from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow

if TYPE_CHECKING:
    from PIL.Image import Image

COPIES = "pictures"
"""Folder of copies in the prepared folder."""
NO_LOOK = "0" * 16
"""Stands for the look of a picture of one colour, which would be that of all others of one colour."""
_LONGEST_RATIO = 200
"""Between the sides of a picture; beyond it vision models refuse it."""
_LEAST_CONTRAST = 4
"""Grey levels, of 256, between the darkest and the lightest spot of a picture that has a look."""
_MOST_THREADS = 16
_AHEAD_PER_THREAD = 8
_BYTES_AHEAD = 128 * 2**20
_MOST_KNOWN = 2**17
_MOST_HINTS = 100
_MOST_NAMES = 2000
_SHORTEST_BASE64 = 64
_BASE64_STARTS = ("iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR", "SUkqA", "TU0AK", "Qk0", "AAAA")
"""How base64 of PNG, JPEG, GIF, WebP, TIFF, BMP, and of AVIF and JPEG 2000 begins."""


_ENDING = (
    "If that is a picture's name without its ending, set data.pictures.name, such as '{}.jpg'; if it is none, name "
    "another field in the task."
)


class _NoEndingError(ValueError):
    """A file that does not exist and whose name has no ending: it may be an id, or no name of a picture at all."""


@dataclass
class Taking:
    """Takes pictures in the fields that a task names."""

    settings: Pictures
    fields: tuple[str, ...]
    """Names of the fields that hold a picture, or a list of them."""
    folder: Path
    """The prepared folder in the making: pictures that come as bytes are copied into it."""
    num_threads: int = field(default_factory=lambda: min(_MOST_THREADS, os.cpu_count() or 1))
    thumbnails: Thumbnails | None = None
    """Where small copies are kept by which look-alikes are found; none makes no copies."""
    _known: _Known = field(default_factory=lambda: _Known())
    _hints: _Hints = field(default_factory=lambda: _Hints())
    _notes: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def notes(self) -> list[str]:
        """What was done to pictures that a user may not expect, a sentence each, with the number of different ones."""
        return [f"{counted(count, 'picture')} {what}." for what, count in sorted(self._notes.items())]

    def taken(
        self, rows: Iterable[Record | BadRow], beside: Callable[[str], Path]
    ) -> Iterator[Record | BadRow]:
        """The rows in their order, with pictures in place of what names them; a row with a picture that cannot be
        had is a bad one. `beside` gives, by the id of a row, the folder that its names are relative to. DataError
        if a library is missing."""
        waiting: deque[tuple[Future[Record | BadRow], int]] = deque()
        ahead = 0
        _require_libraries()
        pool = ThreadPoolExecutor(self.num_threads, "pictures")
        try:
            for row in rows:
                size = self._num_bytes(row)
                waiting.append((pool.submit(self._take, row, beside), size))
                ahead += size
                while len(waiting) > self.num_threads * _AHEAD_PER_THREAD or ahead > _BYTES_AHEAD:
                    done, size = waiting.popleft()
                    ahead -= size
                    yield done.result()
            while waiting:
                yield waiting.popleft()[0].result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _num_bytes(self, row: Record | BadRow) -> int:
        if isinstance(row, BadRow):
            return 0
        ones = (one for name in self.fields for one in _ones(row.fields.get(name)))
        contents = (one.get("bytes") if isinstance(one, Mapping) else one for one in ones)
        return sum(len(content) for content in contents if isinstance(content, bytes | str))

    def _take(self, row: Record | BadRow, beside: Callable[[str], Path]) -> Record | BadRow:
        if isinstance(row, BadRow):
            return row
        fields, faults, lacks_ending = dict(row.fields), [], False
        folder = beside(row.id)
        for name in self.fields:
            value = fields.get(name)
            several = isinstance(value, list | tuple)
            pictures = []
            for number, one in enumerate(_ones(value), 1):
                try:
                    pictures.append(self._picture(one, folder))
                except ValueError as fault:
                    faults.append(f"field {name!r}{f', picture {number}' if several else ''}: {fault}")
                    lacks_ending |= isinstance(fault, _NoEndingError)
            if several or pictures:
                fields[name] = pictures if several else pictures[0]
        if lacks_ending:
            faults.append(_ENDING)
        return BadRow(row.id, " ".join(faults)) if faults else Record(row.id, fields)

    def _picture(self, value: Any, folder: Path) -> Picture:
        """The picture that a value tells of; ValueError says why it cannot be had."""
        told = value
        if isinstance(value, Mapping) and value.keys() <= {"bytes", "path"}:
            told = value.get("bytes") if value.get("bytes") is not None else value.get("path")
        if isinstance(told, str):
            told = _inline(told)
        if isinstance(told, bytes):
            return self._of_bytes(told)
        if isinstance(told, str | int) and not isinstance(told, bool):
            return self._of_file(self.settings.name.replace("{}", str(told)), folder)
        raise ValueError(
            f"{str(value)[:60]!r} tells of no picture. Possible are a path, bytes, "
            "an object with `bytes` or `path`, or a list of these."
        )

    def _of_bytes(self, content: bytes) -> Picture:
        sha256 = hashlib.sha256(content).hexdigest()
        path = f"{COPIES}/{sha256[:2]}/{sha256}"

        def look() -> _Seen:
            try:
                seen = self._decoded(content, sha256)
            except ValueError as error:
                raise ValueError(f"the picture, given as {len(content)} bytes, {error}") from error
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_bytes(content)
            return seen

        return self._known.of(sha256, look).picture(path, self.folder, stored=True)

    def _of_file(self, name: str, folder: Path) -> Picture:
        try:
            path = self._inside(name, folder)
            file = folder / path
            stat = file.stat()
            if not S_ISREG(stat.st_mode):
                is_folder = S_ISDIR(stat.st_mode)
                raise ValueError(f"is {'a folder' if is_folder else 'a pipe or a device'}, not a picture.")
            seen = self._known.of(
                f"{file}\n{stat.st_size} {stat.st_mtime_ns}",
                lambda: self._decoded(file, _sha256(file)),
            )
            return seen.picture(path, folder)
        except (FileNotFoundError, NotADirectoryError) as error:
            hint = self._hints.of(folder / name) + _web(name)
            kind = ValueError if hint or Path(name).suffix else _NoEndingError
            raise kind(f"{name[:200]!r} does not exist in {in_words(folder)}.{hint}") from error
        except OSError as error:
            long = error.errno == errno.ENAMETOOLONG
            raise ValueError(
                f"{name[:60]!r} {'is too long for the name of a file' if long else f'cannot be read ({error})'}."
            ) from error
        except ValueError as error:
            raise ValueError(f"{name[:60]!r} {error}") from error

    def _decoded(self, picture: Path | bytes, sha256: str) -> _Seen:
        decoded = decode(picture, self.settings.max_pixels)
        with self._lock:
            self._notes.update(decoded.notes)
        if self.thumbnails is not None:
            self.thumbnails.add(sha256, decoded.image)
        return _seen(decoded, sha256)

    def _inside(self, name: str, folder: Path) -> str:
        """The path of a file, relative to the folder; ValueError if it leads out of it and may not."""
        if "\0" in name or not name.strip():
            raise ValueError("is no name of a file.")
        root = os.path.abspath(folder)
        path = os.path.abspath(folder / name)
        if self.settings.outside:
            return Path(path).relative_to(root).as_posix() if Path(path).is_relative_to(root) else name
        real = os.path.realpath(path)
        if not (Path(path).is_relative_to(root) and Path(real).is_relative_to(os.path.realpath(root))):
            raise ValueError(
                f"leads out of {in_words(folder)}. Set data.pictures.folder to the folder that holds all pictures, "
                "or data.pictures.outside to true if you trust the data."
            )
        return Path(path).relative_to(root).as_posix()


_PACKED = struct.Struct(">32s8sIIB")


@dataclass(frozen=True)
class _Seen:
    """What reading a picture to its end tells, in 49 bytes."""

    packed: bytes

    def picture(self, path: str, root: Path, stored: bool = False) -> Picture:
        """The picture at a path."""
        sha256, look, width, height, orientation = _PACKED.unpack(self.packed)
        return Picture(path, sha256.hex(), width, height, look.hex(), stored, root, orientation)


class _Known:
    """What was seen of the last 131,072 pictures or more, so that one that many records name is read once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[bytes, bytes] = {}
        self._before: dict[bytes, bytes] = {}
        self._making: dict[bytes, Future[_Seen]] = {}

    def of(self, key: str, make: Callable[[], _Seen]) -> _Seen:
        """What was seen of a picture, made if it is not known; another thread that makes it is waited for."""
        short = hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=16).digest()
        with self._lock:
            packed = self._last.get(short) or self._before.get(short)
            if packed:
                self._keep(short, packed)
                return _Seen(packed)
            making = self._making.get(short)
            if making is None:
                self._making[short] = ours = Future[_Seen]()
        if making is not None:
            return making.result()
        try:
            ours.set_result(make())
        except BaseException as error:
            ours.set_exception(error)
        with self._lock:
            del self._making[short]
            if ours.exception() is None:
                self._keep(short, ours.result().packed)
        return ours.result()

    def _keep(self, key: bytes, packed: bytes) -> None:
        self._last[key] = packed
        if len(self._last) > _MOST_KNOWN:
            self._last, self._before = {}, self._last


class _Hints:
    """What a missing file may have been meant to be; for the first ones only, as a folder may hold very many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = _MOST_HINTS
        self._names: dict[Path, list[str]] = {}

    def of(self, file: Path) -> str:
        """What to add to the sentence that it does not exist, if anything."""
        with self._lock:
            self._left -= 1
            if self._left < 0:
                return ""
            if not file.parent.is_dir():
                return f" There is no folder {file.parent}." if file.parent.name else ""
            if file.parent not in self._names:
                self._names[file.parent] = sorted(os.listdir(file.parent))
            names = self._names[file.parent]
        stem = file.stem.casefold()
        alike = [name for name in names if Path(name).stem.casefold() == stem or name.casefold() == stem]
        return f" Did you mean {alike[0]!r}?" if alike else did_you_mean(file.name, names[:_MOST_NAMES])


def _ones(value: Any) -> Iterable[Any]:
    """The one value, or those of a list; none for null."""
    if value is None:
        return ()
    return value if isinstance(value, list | tuple) else (value,)


def _inline(value: str) -> str | bytes:
    """The bytes of a picture that stands in a text as a `data:` address or in base64, or the path of a `file:` address;
    any other text as it is. ValueError for an address that holds no picture."""
    if value.startswith("file://"):
        return unquote(urlsplit(value).path)
    if value.startswith("data:"):
        head, comma, content = value.partition(",")
        try:
            return (
                b64decode(content, validate=True) if head.endswith(";base64") else unquote_to_bytes(content)
            )
        except ValueError as error:
            raise ValueError(f"the address {head[:40] + comma!r}... holds no base64 ({error}).") from error
    if len(value) >= _SHORTEST_BASE64 and value.startswith(_BASE64_STARTS):
        try:
            return b64decode("".join(value.split()), validate=True)
        except ValueError:
            return value
    return value


def _web(name: str) -> str:
    return " Pictures are read from files: load it from the web first." if "://" in name else ""


def _seen(decoded: Decoded, sha256: str) -> _Seen:
    image, (width, height) = decoded.image, decoded.image.size
    if max(width, height) > _LONGEST_RATIO * min(width, height):
        raise ValueError(
            f"has {width} x {height} pixels: one side is more than {_LONGEST_RATIO} times as long as the other."
        )
    look = bytes.fromhex(look_of(image))
    return _Seen(_PACKED.pack(bytes.fromhex(sha256), look, width, height, decoded.orientation))


def look_of(image: Image) -> str:
    """Perceptual hash of a picture: 16 hexadecimal digits (Zauner 2010, section 3.2: low frequencies of the cosine
    transform, each above the median or not); `NO_LOOK` if it is of one colour."""
    import imagehash
    from PIL.Image import Resampling

    small = image.convert("L").resize((32, 32), Resampling.LANCZOS)
    levels = small.tobytes()
    return str(imagehash.phash(small)) if max(levels) - min(levels) >= _LEAST_CONTRAST else NO_LOOK


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _require_libraries() -> None:
    """DataError if what reads pictures is not installed."""
    for name, package in (("PIL", "pillow"), ("imagehash", "imagehash"), ("cv2", "opencv-python-headless")):
        try:
            __import__(name)
        except ImportError as error:
            raise DataError(missing_library(package)) from error
