"""Where everything of a run lies (docs/run-folder.md), what has been done in it, and who is at work on it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tunesmith.errors import ExperimentError
from tunesmith.files import writing


@dataclass(frozen=True)
class RunFolder:
    """The folder of one variant of one experiment."""

    experiment: Path
    """Shared by all variants: `runs/<experiment>`."""
    variant: str

    @property
    def path(self) -> Path:
        """The variant's own folder."""
        return self.experiment / self.variant

    @property
    def log(self) -> Path:
        """The JSON lines of training."""
        return self.path / "log.jsonl"

    def stage(self, name: str) -> Path:
        """The folder of a stage."""
        return self.path / "stages" / name

    @property
    def evaluation(self) -> Path:
        """The tuned model on the test side."""
        return self.path / "evaluation"

    def data(self, key: str) -> Path:
        """Prepared records, shared by variants."""
        return self.experiment / f"data-{key}"

    def examples(self, key: str) -> Path:
        """Rendered training examples, shared by variants and stages."""
        return self.experiment / f"examples-{key}"

    def base(self, key: str) -> Path:
        """Evaluation of the untouched base model, shared by variants."""
        return self.experiment / f"base-{key}"


def key_of(*values: Any) -> str:
    """Twelve hexadecimal digits that change when a value (JSON-like) does."""
    canonical = json.dumps(values, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def files_key(path: Path) -> str | None:
    """A key of the files in a folder (names, sizes, times), or None if there is no such path."""
    if not path.exists():
        return None
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return key_of([(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files])


@contextmanager
def at_work(folder: Path, wait: bool = False) -> Iterator[None]:
    """Hold a folder for this process. If another process holds it, wait for that one, or raise ExperimentError at
    once. The system lets go of it when the process ends, however it ends."""
    lock, holder = FileLock(folder / ".lock"), folder / ".holder"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=-1 if wait else 0)
        except Timeout as error:
            who = holder.read_text() if holder.is_file() else "another process"
            raise ExperimentError(
                f"{folder}: {who} is at work on this run. Wait for it to end, or give this one another `name`"
            ) from error
    try:
        with writing(folder):
            holder.write_text(f"process {os.getpid()}")
        yield
    finally:
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()
