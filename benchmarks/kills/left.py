"""What a run folder holds, in a form in which two runs of the same experiment are equal."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tunesmith.files import SUMS, damage

TIMES = {"time", "seconds", "made", "tokens_per_second", "memory_gib"}
IGNORED = {".lock", ".holder", "report.html", "train.log"}


def left_in(folder: Path) -> dict[str, Any]:
    """By name of the file: the hash of weights, tables and rows, the value of JSON without times, the events of the log
    without times."""
    found: dict[str, Any] = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_file() and file.name not in IGNORED and "locks" not in file.parts:
            found[name] = _content(file)
        if file.name.startswith("damaged-"):
            found[name] = "set aside"
    return found


def differences(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Names of the files that are not equal, or on one side only."""
    return sorted(
        name for name in wanted.keys() | found.keys() if wanted.get(name, ()) != found.get(name, ())
    )


def _content(file: Path) -> Any:
    try:
        return _value(file)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"damaged: {error}"


def _value(file: Path) -> Any:
    if file.name == SUMS:
        return damage(file.parent) or "all as written"
    if file.name == "log.jsonl":
        events = [_without_times(json.loads(line)) for line in file.read_text("utf-8").splitlines()]
        # A stage that goes on says once more that it starts, and from which step on.
        # Of a stage that is finished again the end comes last, so events are looked at stage by stage.
        return sorted(
            (one for one in events if one["event"] != "stage_start"), key=lambda one: str(one["stage"])
        )
    if file.suffix == ".json":
        return _without_times(json.loads(file.read_text("utf-8")))
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_times(one) for name, one in value.items() if name not in TIMES}
    return [_without_times(one) for one in value] if isinstance(value, list) else value
