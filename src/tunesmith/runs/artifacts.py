"""The files that a finished stage left, and whether they are still what it wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tunesmith.errors import ModelError
from tunesmith.files import changed, file_sha256, joined_sha256
from tunesmith.runs.stage import BASE, CLASSES, DONE, EXECUTION_PLAN, PARTS

FOLDERS = ("adapter", "model", "weights")
NOTES = (BASE.name, CLASSES.name, EXECUTION_PLAN.name, PARTS.name)
"""Files that a stage writes about itself, for the report and for later use of its result."""


@dataclass(frozen=True)
class StageFiles:
    """The files that a stage left in its folder."""

    files: Mapping[str, str]
    """SHA-256 by name."""
    bytes: int
    """Size of the weights among them."""
    sha256: str
    """One hash of all the weights."""


def stage_files(stage: Path) -> StageFiles:
    """The hashes of the files in a stage's folder, for its `done.json`."""
    files = [*_files(stage), *(stage / name for name in NOTES if (stage / name).is_file())]
    sums = {file.relative_to(stage).as_posix(): file_sha256(file) for file in files}
    weights = [name for name in sums if name.endswith(".safetensors")]
    size = sum((stage / name).stat().st_size for name in weights)
    return StageFiles(sums, size, joined_sha256(sums[name] for name in weights))


def refuse_changed(stage: Path) -> None:
    """Raise ModelError if a file that the stage left is missing or is not what its `done.json` says. A stage that is
    not over has none."""
    done = DONE.read(stage)
    if done is None:
        return
    if done.files is not None:
        faults = [fault for name, sha256 in done.files.items() if (fault := changed(stage / name, sha256))]
    else:
        weights = [file for file in _files(stage) if file.suffix == ".safetensors"]
        is_same = joined_sha256(map(file_sha256, weights)) == done.sha256
        faults = [] if is_same else [f"{stage}: its weights were changed after they were written"]
    if faults:
        raise ModelError("\n".join(faults) + f". {advice(stage)}")


def changed_note(stage: Path, files: Mapping[str, str]) -> str | None:
    """What is wrong with a stage's notes, by the hashes of its `done.json`, and what to do; None if nothing is. What
    the stage left, which may be of any size, is not read."""
    faults = (changed(stage / name, files[name]) for name in NOTES if name in files)
    fault = next((fault for fault in faults if fault is not None), None)
    return fault and f"{fault}. {advice(stage)}"


def advice(stage: Path) -> str:
    """What to do if a file of a finished stage is damaged."""
    return (
        f"Bring the file back from a copy, or delete {stage / DONE.name} and call `tunesmith run` with the same "
        "experiment: the stage is then finished again from its last checkpoint"
    )


def _files(stage: Path) -> list[Path]:
    """The files that a later step reads, the weights in the order in which they are hashed together."""
    found = [
        file
        for kind in FOLDERS
        for file in sorted((stage / kind).rglob("*"))
        if file.is_file() and file.suffix != ".md"
    ]
    return [*found, *sorted(stage.glob("head.*"), reverse=True)]
