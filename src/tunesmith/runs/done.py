"""`done.json`: what a finished stage left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.runs.json_file import JsonFile


@dataclass(frozen=True)
class StageResult:
    """The content of `done.json`. Files of earlier versions lack the fields that have a default."""

    fingerprint: str
    """Key of everything that decides what the stage leaves."""
    steps: int
    seconds: float
    best_step: int | None = None
    """The update whose weights the stage left: the best on validation records; None for the last."""
    bytes: int | None = None
    """Size of the weights that it left."""
    sha256: str | None = None
    """One hash of all these weights."""
    files: Mapping[str, str] | None = None
    """SHA-256 of each file that the stage left or wrote for the report, by its name in the folder."""
    task: Mapping[str, Any] | None = None
    """The task's settings that the stage was trained with."""
    longest_answer: int = 0
    """Tokens of the longest answer that was trained on."""


DONE = JsonFile[StageResult]("done.json", StageResult)
