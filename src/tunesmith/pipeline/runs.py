"""Which run folder a call means: the one with the same settings, or else a new one next to it. What a run has
trained or measured is never changed by a call with other settings (docs/decisions/029-run-numbers.md)."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.config.experiment import Experiment, Stage
from tunesmith.config.read import read_run_experiment
from tunesmith.config.renamed import with_former_names
from tunesmith.errors import ExperimentError, TunesmithError
from tunesmith.evaluate.defaults import primary_metric
from tunesmith.files import whole_folder
from tunesmith.pipeline.folder import RunFolder, key_of
from tunesmith.pipeline.log import copy_log
from tunesmith.runs.run import EVALUATION_KEY, RUN
from tunesmith.runs.sealing import refuse_changed_run
from tunesmith.runs.stage import CLAIM, DONE, TRAINED_IN, TakenOverFrom

if TYPE_CHECKING:
    from tunesmith.pipeline.steps import Steps

ELSEWHERE = ("name", "output", "variants", "track", "checkpoints")
"""Settings that change nothing in what a run measures; see `stage_key` for the others."""
_MOST_NAMED = 8


@dataclass(frozen=True)
class Trained:
    """What training left."""

    result: Path
    """Folder of the last stage."""
    fingerprint: str
    """Key of everything that led to it."""


@dataclass(frozen=True)
class RunKeys:
    """What decides if two runs are the same."""

    stages: Mapping[str, str]
    """Key of each stage by its name, in their order."""
    evaluation: str

    @staticmethod
    def of(steps: Steps) -> RunKeys:
        """The keys of an experiment; its records are prepared if they are not yet."""
        stages: dict[str, str] = {}
        trained: Trained | None = None
        for number, stage in enumerate(steps.experiment.stages):
            before = None if stage.start == "base" else trained
            stages[stage.name] = stage_key(steps, stage, number, before)
            trained = Trained(Path(stage.name), stages[stage.name])
        assert trained is not None
        return RunKeys(stages, evaluation_key(steps, trained.fingerprint))

    @property
    def whole(self) -> str:
        """One key of all of them."""
        return key_of(list(self.stages.items()), self.evaluation)

    def fit(self, run: RunFolder) -> bool:
        """True if all that the run has trained and evaluated is of these settings."""
        if not all(map(self._claimed, _filled(run.path / "stages"))):
            return False
        evaluated = run.evaluation.is_dir() and any(run.evaluation.iterdir())
        return not evaluated or EVALUATION_KEY.read(run.evaluation) in (None, self.evaluation)

    def _claimed(self, stage: Path) -> bool:
        """True if a stage's folder is of these settings; one that is over needs no claim for that."""
        key = self.stages.get(stage.name)
        claim = CLAIM.read(stage)
        return key is not None and (claim == key or (claim is None and is_done(stage, key)))

    def finished(self, run: RunFolder) -> bool:
        """True if the run is over: trained, evaluated and compared, all with these settings."""
        trained = all(is_done(run.stage(name), key) for name, key in self.stages.items())
        return trained and self.fit(run) and (run.evaluation / "comparison.json").exists()


def stage_key(steps: Steps, stage: Stage, number: int, before: Trained | None) -> str:
    """Key of everything that decides what a stage leaves."""
    experiment = steps.experiment
    settings = stage.model_dump(mode="json", exclude={"batch": {"num_workers"}, "divergence": True})
    return key_of(
        [
            experiment.seed,
            number,
            with_former_names(settings, "stages.*"),
            before.fingerprint if before else None,
        ],
        [steps.base, task_key(experiment), steps.prepared.certificate.checksum],
        [experiment.data.length.model_dump(mode="json"), _judging(experiment)],
    )


def task_key(experiment: Experiment) -> Any:
    """The task's settings, for a key."""
    return with_former_names(experiment.task.model_dump(mode="json"), "task")


def _judging(experiment: Experiment) -> list[Any] | None:
    """What decides which checkpoint is best, if evaluations during training do."""
    settings = experiment.evaluate
    if settings.every is None:
        return None
    named = settings.model_dump(
        mode="json", include={"every", "max_validation_records", "patience", "engine"}
    )
    return [with_former_names(named, "evaluate"), primary_metric(experiment.task, settings)]


def evaluation_key(steps: Steps, fingerprint: str) -> str:
    """Key of everything that decides what the evaluation of a stage's result measures."""
    return key_of(steps.asked, fingerprint)


def is_done(folder: Path, fingerprint: str) -> bool:
    """True if the stage's folder holds what these settings lead to."""
    done = DONE.read(folder)
    return done is not None and done.fingerprint == fingerprint


def choose(steps: Steps, keys: RunKeys) -> RunFolder:
    """The run of these settings, the newest if there are several; else the folder of a new one. Nothing is written."""
    runs = steps.shared.runs(steps.variant)
    for run in reversed(runs):
        refuse_changed_run(run.path)
        if run.has_begun and keys.fit(run):
            return run
        if run.has_begun and _key_of_run(run) == keys.whole:
            raise ExperimentError(
                f"{run.path}: was begun with these settings, but a claim.json or key.json in it says otherwise, so it "
                f"is damaged. Delete the folder {run.path}, or run with another `name`"
            )
    for run in reversed(runs):
        # A process that holds it may be about to begin.
        if not run.has_begun and not (run.is_held and _key_of_run(run) not in (None, keys.whole)):
            return run
    number = runs[-1].number + 1 if runs else 1
    return RunFolder(steps.shared.path, steps.variant, number)


def _key_of_run(run: RunFolder) -> Any:
    """The whole key that a run was claimed with; None if nobody has."""
    info = RUN.read(run.path)
    return None if info is None else info.key


def why_new(steps: Steps, run: RunFolder) -> str | None:
    """One sentence on why a run that is about to begin is not the one before it, naming the changed settings; None if
    there is none before it."""
    before = [other for other in steps.shared.runs(steps.variant) if other.number < run.number]
    if not before:
        return None
    last = before[-1]
    changed = [f"{path}: {_shown(was)} -> {_shown(now)}" for path, was, now in _changes(steps, last)]
    if len(changed) > _MOST_NAMED:
        changed = [*changed[:_MOST_NAMED], f"and {len(changed) - _MOST_NAMED} more"]
    reason = ", ".join(changed) or _other_reason(steps, last)
    return (
        f"settings changed since {last.path}, which stays as it is; this is a new run, {run.path} ({reason})"
    )


def _changes(steps: Steps, run: RunFolder) -> Iterator[tuple[str, Any, Any]]:
    """Dotted path, old and new value of every setting that matters and differs from a run's."""
    try:
        before = read_run_experiment(run.path / "experiment.yaml")
    except TunesmithError:
        return
    was, now = (
        dict(_flat(one.model_dump(mode="json", by_alias=True, exclude=set(ELSEWHERE))))
        for one in (before, steps.experiment)
    )
    for path in dict.fromkeys([*was, *now]):
        if was.get(path) != now.get(path):
            yield path, was.get(path), now.get(path)


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Values that are no mappings, and no lists of mappings, by their dotted paths."""
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        value = dict(enumerate(value))
    if not isinstance(value, Mapping) or not value:
        yield path, value
        return
    for key, inner in value.items():
        yield from _flat(inner, f"{path}.{key}" if path else str(key))


def _other_reason(steps: Steps, run: RunFolder) -> str:
    """Why a run with the same settings is not the same."""
    info = RUN.read(run.path)
    if info is None or not (run.path / "experiment.yaml").exists():
        return "its experiment.yaml cannot be read"
    if info.data != f"../{steps.prepared.folder.name}":
        return "the data have changed"
    if info.base != f"../{steps.base_folder.name}":
        return "the files of the base model have changed"
    return "its stages were trained by another version of tunesmith, or by other settings than it names"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def is_trained(steps: Steps, name: str) -> bool:
    """True if this run, or another of the variant, has trained the stage with these settings."""
    key = steps.keys.stages[name]
    return is_done(steps.folder.stage(name), key) or trained_before(steps, name, key) is not None


def trained_before(steps: Steps, name: str, key: str) -> Path | None:
    """The folder in which another run of the variant has trained a stage with the same key, if there is one."""
    for run in reversed(steps.shared.runs(steps.variant)):
        folder = run.stage(name)
        if run.path != steps.folder.path and is_done(folder, key):
            return folder
    return None


def take_over(trained: Path, run: RunFolder) -> Path:
    """The stage's folder in a run, filled with what another run's stage of the same key left. Files are hard links, or
    copies where the disk has none; neither run can change the other's, since files are replaced and never
    overwritten."""
    target, source = run.stage(trained.name), trained.parents[1]
    copy_log(source / run.log.name, run.log, trained.name)
    with whole_folder(target) as making:
        shutil.copytree(
            trained,
            making,
            dirs_exist_ok=True,
            copy_function=_link,
            ignore=shutil.ignore_patterns("checkpoints", ".*"),
        )
        TRAINED_IN.write(making, TakenOverFrom(f"../{source.name}"))
    if not (run.path / "audit.json").exists() and (source / "audit.json").exists():
        _link(str(source / "audit.json"), str(run.path / "audit.json"))
    return target


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _filled(folder: Path) -> list[Path]:
    """The folders in it that are not empty."""
    return [one for one in sorted(folder.glob("*")) if one.is_dir() and any(one.iterdir())]
