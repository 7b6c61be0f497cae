"""The three errors that reach the user without a traceback: each says where, what, what is possible, what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path


class TunesmithError(Exception):
    """Something the user can put right. The message is the whole story."""


class Terminated(KeyboardInterrupt):
    """The process was asked to end by SIGTERM; like Ctrl-C, with another exit code."""


class ExperimentError(TunesmithError):
    """The experiment file, an override or a command asks for something that cannot be."""


class DataError(TunesmithError):
    """A record, a source or a split is not what it must be."""


class ModelError(TunesmithError):
    """A model, an adapter or a device cannot do what the experiment asks."""


def did_you_mean(got: str, possible: Iterable[str]) -> str:
    """` Did you mean 'language'?` when something possible is near what was got, else nothing.

    >>> did_you_mean("languge", ["vision", "language"])
    " Did you mean 'language'?"
    >>> did_you_mean("audio", ["vision", "language"])
    ''
    """
    near = difflib.get_close_matches(got, list(possible), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """The text with control characters written as escapes, so that data cannot steer the terminal that shows it.

    >>> visible("a\\x1b[2Jb\\n")
    'a\\\\x1b[2Jb\\n'
    """
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)


def in_words(folder: Path) -> str:
    """A folder inside a sentence, where a lone `.` before its full stop would read as the folder above.

    >>> in_words(Path("data")), in_words(Path("."))
    ('data', 'the current folder')
    """
    return "the current folder" if folder == Path() else str(folder)


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """A number, its thousands apart, and what there is of it in the singular or the plural.

    >>> counted(1, "record"), counted(1234, "record"), counted(1, "class leaks", "classes leak")
    ('1 record', '1,234 records', '1 class leaks')
    """
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"
