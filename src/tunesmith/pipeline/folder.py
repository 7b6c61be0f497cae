"""Where everything of a run lies (docs/run-folder.md), what has been done in it, and who is at work on it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tunesmith.errors import ExperimentError
from tunesmith.files import read_json


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


def files_sha256(files: Sequence[Path]) -> str:
    """One hash of the contents of these files, in this order."""
    whole = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            whole.update(hashlib.file_digest(opened, "sha256").digest())
    return whole.hexdigest()


def read_note(path: Path) -> Any:
    """What a run wrote down for itself in a JSON file; ExperimentError if that is damaged."""
    try:
        return read_json(path)
    except ValueError as error:
        raise ExperimentError(
            f"{path}: is damaged ({error}). Delete it and run again; what it told is then done or chosen anew"
        ) from error


@contextmanager
def at_work(folder: Path, wait: bool = False) -> Iterator[None]:
    """Hold a folder for this process. If another process holds it, wait for that one, or raise ExperimentError at
    once. The system lets go of it when the process ends, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExperimentError(
            f"output: folder {folder} cannot be made ({error.strerror}). Set `output` to a folder "
            "that can be written to"
        ) from error
    lock, holder = FileLock(folder / ".lock"), folder / ".holder"
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout as error:
        who = holder.read_text() if holder.exists() else "another process"
        raise ExperimentError(
            f"{folder}: {who} is at work on this run. Wait for it to end, or give this one another `name`"
        ) from error
    try:
        holder.write_text(f"process {os.getpid()}")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()
