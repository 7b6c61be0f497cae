"""What is already trained, in this run or another run of the variant, and where an interrupted stage resumes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tunesmith.errors import ExperimentError, ModelError
from tunesmith.files import whole_folder
from tunesmith.pipeline.context import RunContext
from tunesmith.pipeline.folder import RunFolder
from tunesmith.pipeline.log import copy_log, rewind_log
from tunesmith.pipeline.runs import is_done
from tunesmith.runs.artifacts import refuse_changed
from tunesmith.runs.audit import AUDIT
from tunesmith.runs.stage import TRAINED_IN, TakenOverFrom
from tunesmith.train.checkpoint import latest_checkpoint, set_damaged_aside, step_of


@dataclass(frozen=True)
class TrainingResult:
    """What training left."""

    folder: Path
    """Folder of the last stage."""
    fingerprint: str
    """Key of everything that led to it."""


def training_result(run: RunContext) -> TrainingResult:
    """What an earlier call trained with these settings. ExperimentError if a stage is not finished."""
    for name in run.keys.stages:
        folder = run.folder.stage(name)
        if not is_trained(run, name):
            raise ExperimentError(
                f"{folder}: stage {name!r} is not trained yet with these settings. Call `tunesmith train` or "
                "`tunesmith run` with the same experiment, overrides and variant first"
            )
    return TrainingResult(folder, run.keys.stages[name])


def is_trained(run: RunContext, name: str) -> bool:
    """True if this run, or another run of the variant, has trained the stage with these settings."""
    key = run.keys.stages[name]
    if is_done(run.folder.stage(name), key):
        return True
    return trained_elsewhere(run.shared.runs(run.variant), run.folder, name, key) is not None


def trained_elsewhere(runs: Sequence[RunFolder], own: RunFolder, name: str, key: str) -> Path | None:
    """The folder in which another run has trained a stage with the same key, or None."""
    for run in reversed(runs):
        folder = run.stage(name)
        if run.path != own.path and is_done(folder, key):
            return folder
    return None


def reuse_stage(run: RunContext, name: str, key: str) -> bool:
    """True if another run has trained the stage with the same key; its result is then copied into this run."""
    if run.folder.stage(name).exists():
        return False
    source = trained_elsewhere(run.shared.runs(run.variant), run.folder, name, key)
    if source is None:
        return False
    try:
        refuse_changed(source)
    except ModelError as fault:
        run.say(f"train: stage {name} is trained again because {source} is damaged: {fault}")
        return False
    copy_stage(source, run.folder)
    run.say(f"train: stage {name} is trained already, in {source}; its result is taken from there")
    return True


def copy_stage(source: Path, run: RunFolder) -> Path:
    """Copy a trained stage of another run into a run; returns the new folder.

    Files are hard links, or copies where the file system has none. Neither run can change the files of the other,
    because files are replaced and never overwritten.
    """
    target, other = run.stage(source.name), source.parents[1]
    copy_log(other / run.log.name, run.log, source.name)
    with whole_folder(target) as making:
        shutil.copytree(
            source,
            making,
            dirs_exist_ok=True,
            copy_function=_link,
            ignore=shutil.ignore_patterns("checkpoints", ".*"),
        )
        TRAINED_IN.write(making, TakenOverFrom(f"../{other.name}"))
    if not AUDIT.exists(run.path) and AUDIT.exists(other):
        _link(str(other / AUDIT.name), str(run.path / AUDIT.name))
    return target


def rewind(run: RunFolder, stage: str, say: Callable[[str], None]) -> None:
    """Set damaged checkpoints of a stage aside, and remove from the log what will be done again."""
    checkpoints = run.stage(stage) / "checkpoints"
    for fault in set_damaged_aside(checkpoints):
        say(f"train: {fault}. Its checkpoint is set aside; training continues from the one before it")
    newest = latest_checkpoint(checkpoints)
    rewind_log(run.log, stage, step_of(newest) if newest else 0)


@contextmanager
def noting_checkpoint(stage: str, checkpoints: Path) -> Iterator[None]:
    """Add to an interruption within the block which checkpoint is kept."""
    try:
        yield
    except KeyboardInterrupt as stop:
        newest = latest_checkpoint(checkpoints)
        if newest:
            stop.add_note(f"stage {stage!r}: the checkpoint of update {step_of(newest):,} is kept")
        else:
            stop.add_note(f"stage {stage!r}: no checkpoint was written yet")
        raise


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
