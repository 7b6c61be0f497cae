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

_SECONDS_TO_LOOK = 0.5
"""Who only looks whether a folder is held (`RunFolder.is_held`) holds it for less."""


@dataclass(frozen=True)
class ExperimentFolder:
    """The folder of an experiment, `runs/<experiment>`: its runs, and what they share."""

    path: Path

    def data(self, key: str) -> Path:
        """Prepared records, shared by variants."""
        return self.path / f"data-{key}"

    def examples(self, key: str) -> Path:
        """Rendered training examples, shared by variants and stages."""
        return self.path / f"examples-{key}"

    def base(self, key: str) -> Path:
        """Evaluation of the untouched base model, shared by variants."""
        return self.path / f"base-{key}"

    def predictions(self, name: str, key: str) -> Path:
        """Evaluation of predictions from elsewhere, shared by variants that ask the same."""
        return self.path / f"predictions-{name}-{key}"

    def lock(self, name: str) -> Path:
        """What is held while the folder of this name is made or chosen."""
        return self.path / "locks" / name

    def runs(self, variant: str) -> list[RunFolder]:
        """The runs of a variant that have a folder, in the order of their numbers."""
        numbers = [1] if (self.path / variant).is_dir() else []
        for folder in self.path.glob("*@*"):
            name, _, number = folder.name.rpartition("@")
            if name == variant and number.isdecimal() and int(number) > 1 and folder.is_dir():
                numbers.append(int(number))
        return [RunFolder(self.path, variant, number) for number in sorted(numbers)]


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run: of a variant of an experiment, with one set of settings."""

    experiment: Path
    """Folder of the experiment."""
    variant: str
    number: int = 1
    """Counts the runs of the variant, from 1: each has other settings (docs/decisions/029-run-numbers.md)."""

    @property
    def name(self) -> str:
        """Name of the folder: `lora` for the first run, `lora@2` for the second. No variant can be called so."""
        return self.variant if self.number == 1 else f"{self.variant}@{self.number}"

    @property
    def path(self) -> Path:
        """The run's own folder."""
        return self.experiment / self.name

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

    @property
    def has_begun(self) -> bool:
        """True if anything of training or evaluation is in it."""
        stages = self.path / "stages"
        return self.log.exists() or _is_filled(self.evaluation) or any(map(_is_filled, stages.glob("*")))

    @property
    def is_held(self) -> bool:
        """True if a process is at work on it."""
        if not (self.path / ".lock").exists():
            return False
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        except OSError:
            return False  # A disk that cannot be written to: whoever wants to hold the folder is told so.
        lock.release()
        return False


def _is_filled(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


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
            lock.acquire(timeout=-1 if wait else _SECONDS_TO_LOOK)
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
