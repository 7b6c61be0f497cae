"""Files that are whole or absent whatever happens while they are written, and whose damage is noticed when they are
read back."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import shutil
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tunesmith.errors import ExperimentError

SUMS = "SHA256SUMS"
"""Hashes of the files of a folder, as `sha256sum --check` reads them."""
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_DISK_THREADS = 32
_NONE: Mapping[str, type] = MappingProxyType({})


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path next to `path` to write to; it is renamed to `path` when the block ends without an error.
    ExperimentError if nothing can be written there; OSError if the disk is full."""
    temporary = path.with_name(f".{path.name}.{_machine()}.{os.getpid()}.partial")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        temporary.touch()
    try:
        yield temporary
        with writing(path):
            _to_disk(temporary)
            os.replace(temporary, path)
            _to_disk(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` to fill; it takes the name `path`, instead of an older folder of that name,
    when the block ends without an error. Errors as `whole_file`."""
    temporary = path.with_name(f".{path.name}.partial")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
    try:
        yield temporary
        with writing(path):
            _to_disk_together(temporary)
            _take_name(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Within it, an OSError is an ExperimentError that says that `path` cannot be written, except for a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise
        raise ExperimentError(
            f"{path}: cannot be written ({error.strerror or error}). Give a folder that can be written to: `output` "
            "in the experiment file, or --output"
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(as_json(value, indent=2) + "\n", encoding="utf-8")


def as_json(value: Any, indent: int | None = None) -> str:
    """The value as JSON, which has no NaN and no infinity: those are null.

    >>> as_json({"loss": math.nan, "step": 3})
    '{"loss": null, "step": 3}'
    """
    try:
        return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    """The value with None for every number that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value


def read_json(path: Path) -> Any:
    """The value of a JSON file; ValueError if it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_note(
    path: Path, kind: type = dict, keys: Mapping[str, type] = _NONE, optional: Mapping[str, type] = _NONE
) -> Any:
    """The value of a JSON file that a run wrote for itself. ExperimentError if the file is damaged, is not of the kind,
    lacks one of the keys, or has a value of another type under one of them or of the optional ones."""
    try:
        value: Any = read_json(path)
        if not isinstance(value, kind):
            raise ValueError(f"it holds a JSON {type(value).__name__}, not a {kind.__name__}")
        _check_types(value, keys, optional)
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error
    return value


def damaged(path: Path, fault: object) -> ExperimentError:
    """The error for a file of a run that cannot be read."""
    return ExperimentError(
        f"{path}: is damaged ({fault}). Delete it and run again; what it holds is then computed or chosen again"
    )


def _check_types(value: Any, keys: Mapping[str, type], optional: Mapping[str, type]) -> None:
    lacking = [key for key in keys if key not in value]
    if lacking:
        raise ValueError(f"it lacks {', '.join(lacking)}")
    for key, wanted in {**keys, **optional}.items():
        if key in value and not isinstance(value[key], wanted):
            raise ValueError(f"its {key} is {value[key]!r:.80}, not a {wanted.__name__}")


def expanded(path: Path) -> Path:
    """The path with `~` as the home folder; ExperimentError if there is no such user."""
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ExperimentError(f"{path}: {path.parts[0]} is no home folder on this machine") from error


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_sha256(files: Iterable[Path]) -> str:
    """One hash of the contents of these files, in this order."""
    return joined_sha256(file_sha256(file) for file in files)


def joined_sha256(sums: Iterable[str]) -> str:
    """The hash that `files_sha256` gives for files with these SHA-256."""
    return hashlib.sha256(b"".join(bytes.fromhex(one) for one in sums)).hexdigest()


def write_sums(folder: Path, *names: str) -> None:
    """Write `SHA256SUMS` of these files of the folder, by default of all in it."""
    found = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
    chosen = sorted(names or set(found) - {SUMS})
    with whole_file(folder / SUMS) as temporary:
        temporary.write_text("".join(f"{file_sha256(folder / name)}  {name}\n" for name in chosen), "utf-8")


def damage(folder: Path, names: Sequence[str] | None = None) -> str | None:
    """The first file of a folder, or of these files in it, that is not what its `SHA256SUMS` says, and how so; None if
    all are as they were written, or the folder has no such file."""
    try:
        text = (folder / SUMS).read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        return f"{folder / SUMS}: cannot be read ({error})"
    lines = (line.partition("  ") for line in text.splitlines())
    sums = {name: sha256 for sha256, _, name in lines}
    for name in sums if names is None else [one for one in names if one in sums]:
        if (fault := changed(folder / name, sums[name])) is not None:
            return fault
    return None if sums else f"{folder / SUMS}: is empty"


def changed(path: Path, sha256: Any) -> str | None:
    """How a file differs from the one whose SHA-256 is given; None if it does not."""
    try:
        found = file_sha256(path)
    except FileNotFoundError:
        return f"{path}: is not there any more"
    except OSError as error:
        return f"{path}: cannot be read ({error.strerror or error})"
    if found == sha256:
        return None
    return f"{path}: was changed after it was written (its SHA-256 is {found[:12]}..., not {str(sha256)[:12]}...)"


def _machine() -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:32] or "machine"


def _remove_abandoned(path: Path) -> None:
    """Delete the temporary files of `path` that processes of this machine left which are not alive any more."""
    for file in path.parent.glob(f".{_literal(path.name)}.{_machine()}.*.partial"):
        number = file.name.removesuffix(".partial").rpartition(".")[2]
        if number.isdigit() and not _is_alive(int(number)):
            with suppress(OSError):
                file.unlink()


def _literal(name: str) -> str:
    """A pattern of glob that matches this name alone."""
    return re.sub(r"([*?[])", r"[\1]", name)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _take_name(temporary: Path, path: Path) -> None:
    if path.exists():
        old = path.with_name(f".{path.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        os.replace(path, old)
        os.replace(temporary, path)
        shutil.rmtree(old)
    else:
        os.replace(temporary, path)
    _to_disk(path.parent)


def _to_disk_together(folder: Path) -> None:
    # Together, since a disk takes many at once in hardly more time than one.
    with ThreadPoolExecutor(_DISK_THREADS) as pool:
        list(pool.map(_to_disk, folder.rglob("*")))


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
