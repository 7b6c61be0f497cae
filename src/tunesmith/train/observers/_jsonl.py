"""Always on: every event as a line of `log.jsonl`, which the report is made from."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from tunesmith.files import as_json
from tunesmith.train.observers import Event, Listener


class Jsonl(Listener):
    """Appends to a file, a whole line at a time, so that a killed run leaves a log that can be read."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")

    def event(self, event: Event) -> None:
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        line = {"event": name, "time": now, **asdict(event)}
        self._file.write(as_json(line) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()
