"""Rows of an evaluation under way: each is on disk as soon as it is there, so that a killed one goes on."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tunesmith.evaluate.rows import Row, open_lines
from tunesmith.files import whole_file
from tunesmith.records.conversation import Conversation

PARTIAL_ROWS = "rows.partial.jsonl"
"""Name of the file, which is deleted as the last step of an evaluation."""


@dataclass
class Answered:
    """The rows that are there so far, by the index of their record."""

    rows: dict[int, Row] = field(default_factory=dict)
    seconds_before: float = 0.0
    """Time that earlier processes spent on them."""
    file: IO[str] | None = None
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Time that was spent on the answers, earlier processes' included."""
        return self.seconds_before + time.monotonic() - self.began

    def add(self, index: int, row: Row) -> None:
        """Keep a row, on disk too if there is a file."""
        self.rows[index] = row
        if self.file is not None:
            self.file.write(_line(index, row, self.seconds))
            self.file.flush()


@contextmanager
def answered_in(
    folder: Path | None, settings: Any, conversations: Sequence[Conversation]
) -> Iterator[Answered]:
    """What `rows.partial.jsonl` holds for these settings (JSON-like) and conversations, open for more.

    The file is deleted when the block ends without an error. Without a folder nothing is kept.
    """
    if folder is None:
        yield Answered()
        return
    folder.mkdir(parents=True, exist_ok=True)
    path, key = folder / PARTIAL_ROWS, _key(settings, conversations)
    answered = _read(path, key)
    with whole_file(path) as temporary, open_lines(temporary, "w") as file:
        file.write(json.dumps({"key": key}) + "\n")
        file.writelines(_line(index, row, answered.seconds_before) for index, row in answered.rows.items())
    with open_lines(path, "a") as file:
        answered.file = file
        yield answered
    path.unlink()


def _read(path: Path, key: str) -> Answered:
    """The whole lines of an earlier process, if it had the same key."""
    answered = Answered()
    if not path.exists():
        return answered
    with open_lines(path, "r") as file:
        try:
            if json.loads(file.readline())["key"] != key:
                return answered
            for text in file:
                line = json.loads(text)
                row = Row.from_json(json.dumps(line["row"]))
                answered.rows[line["index"]], answered.seconds_before = row, line["seconds"]
        except ValueError:
            pass  # the last line was being written when the process ended
    return answered


def _line(index: int, row: Row, seconds: float) -> str:
    return f'{{"index": {index}, "seconds": {seconds:.3f}, "row": {row.to_json()}}}\n'


def _key(settings: Any, conversations: Sequence[Conversation]) -> str:
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for conversation in conversations:
        digest.update(repr(conversation).encode("utf-8", "backslashreplace"))
    return digest.hexdigest()
