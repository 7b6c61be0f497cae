"""The run folder that a call means: the one with the same settings, or a new one next to it.

What a run has trained or measured is never changed by a call with other settings (docs/decisions/029-run-numbers.md).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.config.experiment import Experiment
from tunesmith.config.read import read_run_experiment
from tunesmith.errors import ExperimentError, TunesmithError
from tunesmith.evaluate.compare import COMPARISON
from tunesmith.pipeline.folder import ExperimentFolder, RunFolder
from tunesmith.pipeline.keys import RunKeys
from tunesmith.runs.run import EVALUATION_KEY, RUN, RunInfo
from tunesmith.runs.sealing import refuse_changed_run
from tunesmith.runs.stage import CLAIM, DONE

ELSEWHERE = ("name", "output", "variants", "track", "checkpoints")
"""Settings that change nothing in what a run measures; `stage_key` leaves out others."""
_MOST_NAMED = 8


def choose(shared: ExperimentFolder, variant: str, keys: RunKeys) -> RunFolder:
    """The newest run with these keys, or the folder of a new run. Nothing is written.

    ExperimentError if a run with these settings is damaged.
    """
    runs = shared.runs(variant)
    for run in reversed(runs):
        refuse_changed_run(run.path)
        if run.has_begun and fits(run, keys):
            return run
        if run.has_begun and _key_of_run(run) == keys.combined:
            raise ExperimentError(
                f"{run.path}: was begun with these settings, but a claim.json or key.json in it says otherwise, so it "
                f"is damaged. Delete the folder {run.path}, or run with another `name`"
            )
    for run in reversed(runs):
        # A process that holds it may be about to begin.
        if not run.has_begun and not (run.is_held and _key_of_run(run) not in (None, keys.combined)):
            return run
    number = runs[-1].number + 1 if runs else 1
    return RunFolder(shared.path, variant, number)


def fits(run: RunFolder, keys: RunKeys) -> bool:
    """True if everything that the run has trained and evaluated has these keys."""
    if not all(_is_claimed(stage, keys) for stage in _filled(run.path / "stages")):
        return False
    evaluated = run.evaluation.is_dir() and any(run.evaluation.iterdir())
    return not evaluated or EVALUATION_KEY.read(run.evaluation) in (None, keys.evaluation)


def is_finished(run: RunFolder, keys: RunKeys) -> bool:
    """True if the run is trained, evaluated and compared, all with these keys."""
    trained = all(is_done(run.stage(name), key) for name, key in keys.stages.items())
    return trained and fits(run, keys) and COMPARISON.exists(run.evaluation)


def is_done(folder: Path, fingerprint: str) -> bool:
    """True if the stage's folder holds the finished result of these settings."""
    done = DONE.read(folder)
    return done is not None and done.fingerprint == fingerprint


def why_new(runs: Sequence[RunFolder], run: RunFolder, experiment: Experiment, info: RunInfo) -> str | None:
    """A sentence that says why a new run is not the one before it, with the changed settings; None for a first run.

    `info` is what the new run's `run.json` will hold.
    """
    before = [other for other in runs if other.number < run.number]
    if not before:
        return None
    last = before[-1]
    changed = [f"{path}: {_shown(was)} -> {_shown(now)}" for path, was, now in _changes(last, experiment)]
    if len(changed) > _MOST_NAMED:
        changed = [*changed[:_MOST_NAMED], f"and {len(changed) - _MOST_NAMED} more"]
    reason = ", ".join(changed) or _other_reason(last, info)
    return (
        f"settings changed since {last.path}, which stays as it is; this is a new run, {run.path} ({reason})"
    )


def _is_claimed(stage: Path, keys: RunKeys) -> bool:
    """True if a stage's folder has the right key; a finished stage needs no claim for that."""
    key, claim = keys.stages.get(stage.name), CLAIM.read(stage)
    return key is not None and (claim == key or (claim is None and is_done(stage, key)))


def _key_of_run(run: RunFolder) -> str | None:
    """The key that a run was claimed with; None if it was not."""
    info = RUN.read(run.path)
    return None if info is None else info.key


def _changes(run: RunFolder, experiment: Experiment) -> Iterator[tuple[str, Any, Any]]:
    """Dotted path, old and new value of every setting that matters and differs from a run's."""
    try:
        before = read_run_experiment(run.path / "experiment.yaml")
    except TunesmithError:
        return
    was, now = (
        dict(_flat(settings.model_dump(mode="json", by_alias=True, exclude=set(ELSEWHERE))))
        for settings in (before, experiment)
    )
    for path in dict.fromkeys([*was, *now]):
        if was.get(path) != now.get(path):
            yield path, was.get(path), now.get(path)


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested settings by their dotted paths; a list of plain values is a leaf."""
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        value = dict(enumerate(value))
    if not isinstance(value, Mapping) or not value:
        yield path, value
        return
    for key, inner in value.items():
        yield from _flat(inner, f"{path}.{key}" if path else str(key))


def _other_reason(run: RunFolder, new: RunInfo) -> str:
    """Why a run with the same settings is not the same."""
    info = RUN.read(run.path)
    if info is None or not (run.path / "experiment.yaml").exists():
        return "its experiment.yaml cannot be read"
    if info.data != new.data:
        return "the data have changed"
    if info.base != new.base:
        return "the files of the base model have changed"
    return "its stages were trained by another version of tunesmith, or by other settings than it names"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _filled(folder: Path) -> list[Path]:
    """The folders inside it that are not empty."""
    return [inner for inner in sorted(folder.glob("*")) if inner.is_dir() and any(inner.iterdir())]
