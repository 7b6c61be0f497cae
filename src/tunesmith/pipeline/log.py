"""`log.jsonl` of a run: what is removed when a stage continues from a checkpoint, and copied with a stage."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tunesmith.files import whole_file


def rewind_log(log: Path, stage: str, step: int) -> None:
    """Take back what the log says of a stage's updates after `step`: they will be done again."""

    def stays(event: Mapping[str, Any]) -> bool:
        return event.get("stage") != stage or (event.get("step", 0) <= step and event["event"] != "stage_end")

    if log.exists():
        _write(log, _lines(log, stays))


def copy_log(source: Path, target: Path, stage: str) -> None:
    """Put what one log says of a stage at the end of another, instead of what that says of it."""
    taken = _lines(source, lambda event: event.get("stage") == stage)
    _write(target, [*_lines(target, lambda event: event.get("stage") != stage), *taken])


def _lines(log: Path, stays: Callable[[Mapping[str, Any]], bool]) -> list[str]:
    """The whole lines of a log for which it holds; none if there is no log."""
    if not log.exists():
        return []
    found = []
    # Not splitlines, which also cuts at U+2028 and others that stand in JSON as they are.
    for line in log.read_text(encoding="utf-8").split("\n"):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if stays(event):
            found.append(line)
    return found


def _write(log: Path, lines: list[str]) -> None:
    with whole_file(log) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
