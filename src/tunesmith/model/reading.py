"""The one door through which libraries read a model's files, whatever is wrong with those."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from tunesmith.errors import ModelError
from tunesmith.files import read_json

_POINTER = b"version https://git-lfs.github.com/spec/"
FROM_ITS_SOURCE = "Take the file from where the model is from"


@contextmanager
def reading(describe: Callable[[Exception], str]) -> Iterator[None]:
    """Within it, what a library raises over a model's files is a ModelError with the words of `describe`; a GPU without
    memory stays what it is.

    Libraries raise whatever they meet, AttributeError and AssertionError among them, so every kind of error is caught.
    For this reason only calls of libraries stand in such a block, nothing of our own, whose faults it would hide.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise ModelError(describe(error)) from error


def first_line(error: BaseException) -> str:
    """The first line of an error's message, without its full stop.

    The error's class is put before it if the message alone says little (that of KeyError is only the key).
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    said = " ".join(lines[: 2 if lines[0].endswith(":") else 1]).rstrip(". ")[:300]
    return f"{type(error).__name__}: {said}" if isinstance(error, KeyError | AttributeError) else said


def json_object(path: Path, name: str) -> dict[str, Any]:
    """The object in a model's JSON file, nothing if there is no such file; ModelError if it holds anything else. `name`
    is what the user calls the model."""
    if not path.is_file():
        return {}
    try:
        value = read_json(path)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"model.path: {path.name} of {name} cannot be read ({first_line(error)}). {FROM_ITS_SOURCE}"
        ) from error
    if not isinstance(value, dict):
        raise ModelError(
            f"model.path: {path.name} of {name} holds a JSON {type(value).__name__}, not an object. {FROM_ITS_SOURCE}"
        )
    return value


def unreadable(folder: Path) -> str:
    """The first file of weights in a folder that cannot be opened, with a space after it; nothing if all can."""
    for file in sorted(folder.glob("*.safetensors")) if folder.is_dir() else ():
        try:
            with safe_open(file, "pt"):
                pass
        except Exception:
            return f"{file.name} of "
    return ""


def refuse_pointers(folder: Path, name: str) -> None:
    """Raise ModelError if files of a model's folder are Git LFS pointers."""
    pointers = [file.name for file in sorted(folder.iterdir()) if file.is_file() and _is_pointer(file)]
    if pointers:
        raise ModelError(
            f"model.path: {', '.join(pointers)} of {name} only point to the files in Git LFS. Call `git lfs pull` in "
            "that folder, or download the model again"
        )


def _is_pointer(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(_POINTER)) == _POINTER
