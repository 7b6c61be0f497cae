"""A run folder as typed values (`docs/run-folder.md`). What is not there yet is None, and in `missing`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from tunesmith.config.read import read_run_experiment
from tunesmith.errors import DataError
from tunesmith.evaluate.compare import COMPARISON, Comparison
from tunesmith.evaluate.rows import Row, read_rows
from tunesmith.evaluate.scores import SCORES, Scores
from tunesmith.files import damage
from tunesmith.runs.artifacts import changed_note
from tunesmith.runs.audit import AUDIT, Audit
from tunesmith.runs.json_file import JsonFile, first_fault
from tunesmith.runs.manifest import MANIFEST, Manifest
from tunesmith.runs.run import ENVIRONMENT, LINEAGE, RUN, Environment, RunInfo, StageLineage
from tunesmith.runs.sealing import refuse_changed_run
from tunesmith.runs.stage import CLASSES, DONE, PARTS, StageResult, TrainedClasses, TrainedPart
from tunesmith.train.observers import Diverged, Evaluation, StageEnd, StageStart, Update

if TYPE_CHECKING:
    from tunesmith.config.experiment import Experiment

Value = TypeVar("Value")
_AGAIN = "Bring it back from a copy, or delete it and call `tunesmith run` with the same experiment"


@dataclass(frozen=True)
class Evaluated:
    """One evaluation: its scores, and its rows as they are asked for."""

    folder: Path
    scores: Scores

    @cached_property
    def rows(self) -> Sequence[Row]:
        """Rows in the test side's order; none if there is no `rows.jsonl`. DataError names a broken line."""
        file = self.folder / "rows.jsonl"
        return read_rows(file) if file.exists() else ()


@dataclass(frozen=True)
class StageRecord:
    """One stage: what it trained, and its part of `log.jsonl`; what it did again after a resume once."""

    name: str
    done: StageResult | None
    parts: tuple[TrainedPart, ...]
    updates: tuple[Update, ...]
    evaluations: tuple[Evaluation, ...]
    notes: tuple[str, ...]
    stopped_early: bool
    classes: TrainedClasses | None = None
    diverged: Diverged | None = None

    @property
    def last_step(self) -> int:
        """The last update that the log tells of; 0 if there is none."""
        steps = [*(update.step for update in self.updates), *(event.step for event in self.evaluations)]
        return max(steps, default=0)

    @property
    def seconds(self) -> float | None:
        """How long the stage took, or has taken so far."""
        if self.done is not None:
            return self.done.seconds
        return sum(update.seconds for update in self.updates) if self.updates else None


@dataclass(frozen=True)
class RunView:
    """Everything that a report tells about one run."""

    path: Path
    run: RunInfo
    settings: Mapping[str, Any]
    """The resolved experiment, parsed."""
    settings_text: str
    """The text of the resolved experiment."""
    environment: Environment | None
    lineage: tuple[StageLineage, ...]
    manifest: Manifest | None
    audit: Audit | None
    stages: tuple[StageRecord, ...]
    base: Evaluated | None
    tuned: Evaluated | None
    comparison: Comparison | None
    external: tuple[Evaluated, ...] = ()
    """Predictions from elsewhere on the same held-out records, by name."""

    @cached_property
    def experiment(self) -> Experiment:
        """The resolved experiment, checked; ExperimentError if this version of tunesmith cannot read it."""
        return read_run_experiment(self.path / "experiment.yaml")

    @property
    def missing(self) -> tuple[str, ...]:
        """What the run has not written yet, one sentence each."""
        return tuple(_missing(self))

    @property
    def name(self) -> str:
        """`ag-news/lora`, or `ag-news` for the only variant."""
        return self.run.experiment + ("" if self.run.label == "main" else f"/{self.run.label}")


def read_run_folder(path: Path) -> RunView:
    """The run in a folder. DataError if it is no run folder (it names those inside), or a file is broken."""
    run = _read(path, RUN)
    if run is None:
        raise DataError(_no_run_folder(path))
    refuse_changed_run(path)
    settings_text, settings = _read_experiment(path / "experiment.yaml")
    return RunView(
        path=path,
        run=run,
        settings=settings,
        settings_text=settings_text,
        environment=_read(path, ENVIRONMENT),
        lineage=_read(path, LINEAGE) or (),
        manifest=_read(path / run.data, MANIFEST),
        audit=_read(path, AUDIT),
        stages=_read_stages(path, settings),
        base=_read_evaluated(path / run.base) if run.base else None,
        tuned=_read_evaluated(path / "evaluation"),
        comparison=_read(path / "evaluation", COMPARISON),
        external=tuple(_read_external(path, run)),
    )


def _missing(run: RunView) -> Iterator[str]:
    if run.manifest is None:
        yield "The held-out split is not made yet (manifest.json)."
    if run.audit is None:
        yield "Lengths are not audited yet (audit.json)."
    if run.base is None:
        yield "The base model is not evaluated yet (base scores.json)."
    if not run.stages:
        yield "Training has not begun (log.jsonl)."
    for stage in run.stages:
        if stage.diverged is not None:
            yield (
                f"Stage {stage.name} diverged at update {stage.diverged.step:,} of {stage.diverged.steps:,}: "
                f"{stage.diverged.reason}. {stage.diverged.kept}. Everything measured before it is on this page."
            )
        elif stage.done is None:
            last = stage.updates[-1] if stage.updates else None
            reached = f"; it reached update {last.step} of {last.steps}" if last else ""
            yield f"Stage {stage.name} is not over{reached}."
    if run.tuned is None:
        yield "The tuned model is not evaluated yet (evaluation/scores.json)."
    elif run.comparison is None:
        yield "Base and tuned model are not compared yet (evaluation/comparison.json)."


def _no_run_folder(path: Path) -> str:
    inside = sorted(file.parent.name for file in path.glob("*/run.json"))
    hint = (
        f"it holds the runs {', '.join(inside)}: give one of them"
        if inside
        else "give runs/EXPERIMENT/VARIANT"
    )
    return f"{path}: not a run folder, there is no run.json in it; {hint}"


def _read(folder: Path, file: JsonFile[Value]) -> Value | None:
    """The value of a file, or None if there is no such file. DataError if it is damaged."""
    try:
        return file.parse(folder)
    except ValueError as error:
        raise DataError(f"{folder / file.name}: {error}. {_AGAIN}") from error


def _read_lines(path: Path, adapter: TypeAdapter[Value]) -> Iterator[tuple[int, Value]]:
    """Line number and value of each line, but for a last one that is still being written."""
    try:
        file = path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        return
    with file:
        for number, line in enumerate(file, 1):
            if line.strip() and line.endswith(b"\n"):
                try:
                    yield number, adapter.validate_json(line)
                except ValidationError as error:
                    raise DataError(
                        f"{path}:{number}: {first_fault(error)}; mend or delete this line"
                    ) from error


def _read_experiment(path: Path) -> tuple[str, Mapping[str, Any]]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        text = path.read_text(encoding="utf-8")
        settings = YAML(typ="safe", pure=True).load(text)
    except FileNotFoundError:
        return "", {}
    except (YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not YAML ({error}). {_AGAIN}") from error
    return text, settings if isinstance(settings, Mapping) else {}


def _read_evaluated(folder: Path) -> Evaluated | None:
    """An evaluation, if it is done; DataError if a file of it is not as it was written."""
    if (fault := damage(folder)) is not None:
        raise DataError(
            f"{fault}. Delete the folder {folder} and call `tunesmith run` with the same experiment: it is then "
            "evaluated again"
        )
    scores = _read(folder, SCORES)
    return None if scores is None else Evaluated(folder, scores)


def _read_external(path: Path, run: RunInfo) -> Iterator[Evaluated]:
    """The predictions from elsewhere that were asked what the run was."""
    folders = sorted(path.parent.glob(f"predictions-*-{run.asked}")) if run.asked else []
    for folder in folders:
        evaluated = _read_evaluated(folder)
        if evaluated is not None:
            yield evaluated


_EVENTS: dict[str, TypeAdapter[Any]] = {
    "stage_start": TypeAdapter(StageStart),
    "update": TypeAdapter(Update),
    "evaluation": TypeAdapter(Evaluation),
    "stage_end": TypeAdapter(StageEnd),
    "diverged": TypeAdapter(Diverged),
}


def _read_log(path: Path) -> dict[str, list[Any]]:
    """Events by stage, in the order in which stages began. What a resumed stage did twice is there once."""
    events: dict[str, list[Any]] = {}
    for number, entry in _read_lines(path, TypeAdapter(dict[str, Any])):
        adapter = _EVENTS.get(str(entry.get("event")))
        if adapter is None:
            continue
        try:
            event = adapter.validate_python(entry)
        except ValidationError as error:
            raise DataError(f"{path}:{number}: {first_fault(error)}; mend or delete this line") from error
        so_far = events.setdefault(event.stage, [])
        if isinstance(event, StageStart):
            so_far[:] = [earlier for earlier in so_far if earlier.step <= event.step]
        so_far.append(event)
    return events


def _read_stages(path: Path, settings: Mapping[str, Any]) -> tuple[StageRecord, ...]:
    log = _read_log(path / "log.jsonl")
    planned = [str(stage["name"]) for stage in settings.get("stages") or () if "name" in stage]
    on_disk = sorted(folder.name for folder in path.glob("stages/*") if folder.is_dir())
    begun = {*log, *on_disk}
    names = dict.fromkeys(name for name in (*planned, *log, *on_disk) if name in begun)
    return tuple(_read_stage(path / "stages" / name, log.get(name, [])) for name in names)


def _read_stage(folder: Path, events: list[Any]) -> StageRecord:
    done = _read(folder, DONE)
    if done is not None and (fault := changed_note(folder, done.files or {})) is not None:
        raise DataError(fault)
    notes = dict.fromkeys(note for event in events if isinstance(event, StageStart) for note in event.notes)
    return StageRecord(
        name=folder.name,
        done=done,
        parts=_read(folder, PARTS) or (),
        updates=tuple(event for event in events if isinstance(event, Update)),
        evaluations=tuple(event for event in events if isinstance(event, Evaluation)),
        notes=tuple(notes),
        stopped_early=any(event.stopped_early for event in events if isinstance(event, StageEnd)),
        classes=_read(folder, CLASSES),
        diverged=next((event for event in events if isinstance(event, Diverged)), None),
    )
