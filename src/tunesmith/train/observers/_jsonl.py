"""Always on: every event as a line of `log.jsonl`, which the report is made from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tunesmith.files import as_json
from tunesmith.train.observers import Event, Listener


class Jsonl(Listener):
    """Appends to a file, a whole line at a time, so that a killed run leaves a log that can be read."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")

    def event(self, event: Event) -> None:
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
        self._file.write(_line(name, asdict(event)))
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def log_event(path: Path, name: str, **fields: Any) -> None:
    """Append one line to a run's `log.jsonl` about something outside of a stage's training."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(_line(name, fields))


def _line(name: str, fields: Mapping[str, Any]) -> str:
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return as_json({"event": name, "time": now, **fields}) + "\n"
