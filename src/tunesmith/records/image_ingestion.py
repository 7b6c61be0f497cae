"""Image ingestion: the path or the bytes in a field of a record become a `Picture`.

Happens while records are read, before a task sees them. Every file is decoded to its end once, by several threads that
share one budget of pixels; records keep their order.
"""

from __future__ import annotations

import errno
import hashlib
import os
import struct
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, Any

from tunesmith.config.experiment import Pictures
from tunesmith.errors import DataError, counted, did_you_mean, in_words
from tunesmith.images.budget import PixelBudget
from tunesmith.images.decode import Decoded, decode, missing_library, num_pixels
from tunesmith.images.picture import Picture
from tunesmith.images.thumbnails import Thumbnails
from tunesmith.records.picture_values import with_picture_values
from tunesmith.records.record import Record, num_bytes
from tunesmith.records.sources import BadRow

if TYPE_CHECKING:
    from PIL.Image import Image

COPIES = "pictures"
"""Folder of copies in the prepared folder."""
NO_HASH = "0" * 16
"""Stands for the perceptual hash of a picture of one colour, which would be that of all others of one colour."""
_LEAST_CONTRAST = 4
"""Grey levels, of 256, between the darkest and the lightest spot of a picture that has a perceptual hash."""
_MOST_THREADS = 16
_ROWS_PER_THREAD = 8
_BYTES_IN_FLIGHT = 128 * 2**20
_MOST_CACHED = 2**17
_MOST_HINTS = 100
_MOST_NAMES = 2000

_ENDING = (
    "If that is a picture's name without its ending, set data.pictures.name, such as '{}.jpg'; if it is none, name "
    "another field in the task."
)


class _NoEndingError(ValueError):
    """A file that does not exist and whose name has no ending: it may be an id, or no name of a picture at all."""


@dataclass
class ImageIngestor:
    """Reads the pictures in the fields that a task names."""

    settings: Pictures
    fields: tuple[str, ...]
    """Names of the fields that hold a picture, or a list of them."""
    folder: Path
    """The prepared folder in the making: pictures that come as bytes are copied into it."""
    num_threads: int = field(default_factory=lambda: min(_MOST_THREADS, os.cpu_count() or 1))
    thumbnails: Thumbnails | None = None
    """Where small copies are kept by which look-alikes are found; none makes no copies."""
    _cache: _InfoCache = field(default_factory=lambda: _InfoCache())
    _budget: PixelBudget = field(default_factory=PixelBudget)
    _hints: _Hints = field(default_factory=lambda: _Hints())
    _notes: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def notes(self) -> list[str]:
        """What was done to pictures that a user may not expect: a sentence each, with their number."""
        return [f"{counted(count, 'picture')} {what}." for what, count in sorted(self._notes.items())]

    def resolve(
        self, rows: Iterable[Record | BadRow], root: Callable[[str], Path]
    ) -> Iterator[Record | BadRow]:
        """The rows in their order, with pictures in place of paths and bytes; a row with a picture that cannot be
        read is a bad row. `root` returns, by the id of a row, the folder that its paths are relative to.

        At most 128 MiB of rows are in flight, and one row more. DataError if a library is missing.
        """
        waiting: deque[tuple[Future[Record | BadRow], int]] = deque()
        in_flight = 0
        _require_libraries()
        pool = ThreadPoolExecutor(self.num_threads, "pictures")
        try:
            for row in rows:
                size = 0 if isinstance(row, BadRow) else num_bytes(row.fields)
                waiting.append((pool.submit(self._resolve, row, root), size))
                in_flight += size
                while len(waiting) > self.num_threads * _ROWS_PER_THREAD or in_flight > _BYTES_IN_FLIGHT:
                    done, size = waiting.popleft()
                    in_flight -= size
                    yield done.result()
            while waiting:
                yield waiting.popleft()[0].result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _resolve(self, row: Record | BadRow, root: Callable[[str], Path]) -> Record | BadRow:
        if isinstance(row, BadRow):
            return row
        try:
            fields = dict(with_picture_values(row, self.fields).fields)
        except DataError as fault:
            return BadRow(row.id, str(fault).removeprefix(f"{row.id}: "))
        faults, lacks_ending = [], False
        folder = root(row.id)
        for name in self.fields:
            value = fields.get(name)
            several = isinstance(value, list | tuple)
            pictures = []
            for number, member in enumerate(_members(value), 1):
                try:
                    pictures.append(self._picture(member, folder))
                except ValueError as fault:
                    faults.append(f"field {name!r}{f', picture {number}' if several else ''}: {fault}")
                    lacks_ending |= isinstance(fault, _NoEndingError)
            if several or pictures:
                fields[name] = pictures if several else pictures[0]
        if lacks_ending:
            faults.append(_ENDING)
        return BadRow(row.id, " ".join(faults)) if faults else Record(row.id, fields, row.left_out)

    def _picture(self, value: Any, folder: Path) -> Picture:
        """The picture that a value names or holds; ValueError says why it cannot be read."""
        source = value
        if isinstance(value, Mapping) and value.keys() <= {"bytes", "path"}:
            source = value.get("bytes") if value.get("bytes") is not None else value.get("path")
        if isinstance(source, bytes):
            return self._from_bytes(source)
        if isinstance(source, str | int) and not isinstance(source, bool):
            return self._from_file(self.settings.name.replace("{}", str(source)), folder)
        raise ValueError(
            f"{str(value)[:60]!r} is no picture. Possible are a path, bytes, "
            "an object with `bytes` or `path`, or a list of these."
        )

    def _from_bytes(self, content: bytes) -> Picture:
        sha256 = hashlib.sha256(content).hexdigest()
        path = f"{COPIES}/{sha256[:2]}/{sha256}"

        def read() -> _ImageInfo:
            try:
                info = self._info(content, sha256)
            except ValueError as error:
                raise ValueError(f"the picture, given as {len(content)} bytes, {error}") from error
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_bytes(content)
            return info

        return self._cache.get(sha256, read).picture(path, self.folder, stored=True)

    def _from_file(self, name: str, folder: Path) -> Picture:
        try:
            path = self._inside(name, folder)
            file = folder / path
            stat = file.stat()
            if not S_ISREG(stat.st_mode):
                is_folder = S_ISDIR(stat.st_mode)
                raise ValueError(f"is {'a folder' if is_folder else 'a pipe or a device'}, not a picture.")
            info = self._cache.get(
                f"{file}\n{stat.st_size} {stat.st_mtime_ns}",
                lambda: self._info(file, _sha256(file)),
            )
            return info.picture(path, folder)
        except (FileNotFoundError, NotADirectoryError) as error:
            hint = self._hints.near(folder / name) + _web(name)
            kind = ValueError if hint or Path(name).suffix else _NoEndingError
            raise kind(f"{name[:200]!r} does not exist in {in_words(folder)}.{hint}") from error
        except OSError as error:
            long = error.errno == errno.ENAMETOOLONG
            raise ValueError(
                f"{name[:60]!r} {'is too long for the name of a file' if long else f'cannot be read ({error})'}."
            ) from error
        except ValueError as error:
            raise ValueError(f"{name[:60]!r} {error}") from error

    def _info(self, picture: Path | bytes, sha256: str) -> _ImageInfo:
        """What is kept of a picture, decoded within the budget of pixels."""
        with self._budget.reserve(min(num_pixels(picture), self.settings.max_pixels)):
            decoded = decode(picture, self.settings.max_pixels)
            with self._lock:
                self._notes.update(decoded.notes)
            if self.thumbnails is not None:
                self.thumbnails.add(sha256, decoded.image)
            return _info_of(decoded, sha256)

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
class _ImageInfo:
    """What is kept of a decoded picture, in 49 bytes."""

    packed: bytes

    def picture(self, path: str, root: Path, stored: bool = False) -> Picture:
        """The picture at a path."""
        sha256, look, width, height, orientation = _PACKED.unpack(self.packed)
        return Picture(path, sha256.hex(), width, height, look.hex(), stored, root, orientation)


class _InfoCache:
    """What is kept of the last 131,072 pictures or more, so that one that many records name is decoded once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[bytes, bytes] = {}
        self._before: dict[bytes, bytes] = {}
        self._making: dict[bytes, Future[_ImageInfo]] = {}

    def get(self, key: str, make: Callable[[], _ImageInfo]) -> _ImageInfo:
        """The cached value, made if there is none; another thread that makes it is waited for."""
        short = hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=16).digest()
        with self._lock:
            packed = self._last.get(short) or self._before.get(short)
            if packed:
                self._keep(short, packed)
                return _ImageInfo(packed)
            making = self._making.get(short)
            if making is None:
                self._making[short] = ours = Future[_ImageInfo]()
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
        if len(self._last) > _MOST_CACHED:
            self._last, self._before = {}, self._last


class _Hints:
    """What a missing file may have been meant to be; for the first ones only, as a folder may hold very many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = _MOST_HINTS
        self._names: dict[Path, list[str]] = {}

    def near(self, file: Path) -> str:
        """What to add to the sentence that a file does not exist, if anything."""
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


def _members(value: Any) -> Iterable[Any]:
    """The value alone, or the values of a list; none for null."""
    if value is None:
        return ()
    return value if isinstance(value, list | tuple) else (value,)


def _web(name: str) -> str:
    return " Pictures are read from files: load it from the web first." if "://" in name else ""


def _info_of(decoded: Decoded, sha256: str) -> _ImageInfo:
    width, height = decoded.image.size
    look = bytes.fromhex(perceptual_hash(decoded.image))
    return _ImageInfo(_PACKED.pack(bytes.fromhex(sha256), look, width, height, decoded.orientation))


def perceptual_hash(image: Image) -> str:
    """Perceptual hash of a picture: 16 hexadecimal digits, or `NO_HASH` if it is of one colour.

    pHash (Zauner 2010, section 3.2): low frequencies of the cosine transform, each above the median or not.
    """
    import imagehash
    from PIL.Image import Resampling

    small = image.convert("L").resize((32, 32), Resampling.LANCZOS)
    levels = small.tobytes()
    return str(imagehash.phash(small)) if max(levels) - min(levels) >= _LEAST_CONTRAST else NO_HASH


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
