"""A run folder as typed values (`docs/run-folder.md`). What is not there yet is None, and in `missing`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from tunesmith.config.read import read_experiment
from tunesmith.errors import DataError
from tunesmith.evaluate.compare import Comparison
from tunesmith.evaluate.rows import Row, read_rows
from tunesmith.evaluate.scores import Scores
from tunesmith.files import damage
from tunesmith.runs.artifacts import changed_note
from tunesmith.runs.sealing import refuse_changed_run
from tunesmith.train.observers import Evaluation, StageEnd, StageStart, Update

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
class TrainedPart:
    """An entry of `parts.json`: how much of one part of the model was trained."""

    part: str
    method: str
    trained: int
    total: int
    share: float
    bytes: int


@dataclass(frozen=True)
class Done:
    """`done.json` of a stage that is over."""

    steps: int
    seconds: float
    best_step: int | None = None
    """The update whose weights the stage left: the best on validation records; None for the last."""
    bytes: int | None = None
    """Size of what it left."""
    files: Mapping[str, str] | None = None
    """SHA-256 of each file that it left or wrote for this report."""


@dataclass(frozen=True)
class Classes:
    """`classes.json` of a stage: the classes of what it trains on."""

    labels: tuple[str, ...]
    counts: tuple[int, ...]
    """Training examples of each."""
    weights: tuple[float, ...] | None
    """What an example of each counts; None if all count alike."""


@dataclass(frozen=True)
class Stage:
    """One stage: what it trained, and its part of `log.jsonl`; what it did again after a resume once."""

    name: str
    done: Done | None
    parts: tuple[TrainedPart, ...]
    updates: tuple[Update, ...]
    evaluations: tuple[Evaluation, ...]
    notes: tuple[str, ...]
    stopped_early: bool
    classes: Classes | None = None

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
class Leaks:
    """The leaks of `manifest.json`."""

    action: str
    near: float | None = None
    pictures: float | None = None
    """Agreement (up to 1) from which two pictures look alike; None if only files were compared."""
    exact_pairs: int = 0
    near_pairs: int = 0
    picture_pairs: int = 0
    dropped: int = 0
    examples: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class BadRows:
    """The rows that could not be read."""

    count: int
    first: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Manifest:
    """`manifest.json`, the certificate of the split."""

    checksum: str
    counts: Mapping[str, int]
    settings: Mapping[str, Any] | None = None
    by: tuple[str, ...] | None = None
    leaks: Leaks | None = None
    bad_rows: BadRows | None = None
    strata: Mapping[str, Mapping[str, int]] | None = None
    duplicates: Mapping[str, int] | None = None
    """Records (of pictures, pictures) that repeat an earlier one, by what they repeat: content, text, near,
    picture."""
    pictures_beside: tuple[tuple[int, str], ...] | None = None
    notes: tuple[str, ...] = ()
    """What a reader should know of the split, in sentences."""

    @property
    def has_pictures(self) -> bool:
        """True if the records have pictures."""
        return self.pictures_beside is not None


@dataclass(frozen=True)
class Histogram:
    """Counts between edges, one edge more than counts."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Budget:
    """One way to say how large pictures are seen, and what the examples take then."""

    pixels: Mapping[str, Any]
    """Of `model.pixels`."""
    largest: int
    mean: float
    saved: float


@dataclass(frozen=True)
class PictureTokens:
    """The picture tokens of `audit.json`."""

    mean: float
    max: float
    pictures: int
    per_example: float
    share: float
    budgets: tuple[Budget, ...] = ()
    """What the run's settings say, and smaller ones."""


@dataclass(frozen=True)
class Audit:
    """`audit.json`."""

    mode: str
    samples: int
    histogram: Histogram
    tokens: Mapping[str, float] | None = None
    characters: Mapping[str, float] | None = None
    trained_share: float | None = None
    limit: int | None = None
    over_limit: int | None = None
    recommended: int | None = None
    text_tokens: Mapping[str, float] | None = None
    picture_tokens: PictureTokens | None = None

    @property
    def lengths(self) -> Mapping[str, float]:
        """Smallest, mean, percentiles and largest, in what `mode` counts."""
        return self.tokens or self.characters or {}


@dataclass(frozen=True)
class Run:
    """`run.json`."""

    experiment: str
    variant: str
    data: str = ""
    base: str = ""
    asked: str = ""
    """Key of what its evaluations measure: predictions from elsewhere that were asked the same have it too."""
    number: int = 1
    """Counts the runs of the variant: each has other settings."""

    @property
    def label(self) -> str:
        """Name of its folder: `lora`, or `lora@2` for the second run of the variant."""
        return self.variant if self.number == 1 else f"{self.variant}@{self.number}"


@dataclass(frozen=True)
class RunFolder:
    """Everything that a report tells about one run."""

    path: Path
    run: Run
    settings: Mapping[str, Any]
    """The resolved experiment, parsed."""
    settings_text: str
    """The resolved experiment as it stands on disk."""
    environment: Mapping[str, Any]
    lineage: Any
    manifest: Manifest | None
    audit: Audit | None
    stages: tuple[Stage, ...]
    base: Evaluated | None
    tuned: Evaluated | None
    comparison: Comparison | None
    external: tuple[Evaluated, ...] = ()
    """Predictions from elsewhere on the same held-out records, by name."""

    @cached_property
    def experiment(self) -> Experiment:
        """The resolved experiment, checked; ExperimentError if this version of tunesmith cannot read it."""
        return read_experiment(self.path / "experiment.yaml")

    @property
    def missing(self) -> tuple[str, ...]:
        """What the run has not written yet, one sentence each."""
        return tuple(_missing(self))

    @property
    def name(self) -> str:
        """`ag-news/lora`, or `ag-news` for the only variant."""
        return self.run.experiment + ("" if self.run.label == "main" else f"/{self.run.label}")


def read_run_folder(path: Path) -> RunFolder:
    """The run in a folder. DataError if it is no run folder (it names those inside), or a file is broken."""
    run = _read(path / "run.json", Run)
    if run is None:
        raise DataError(_no_run_folder(path))
    refuse_changed_run(path)
    settings_text, settings = _read_experiment(path / "experiment.yaml")
    return RunFolder(
        path=path,
        run=run,
        settings=settings,
        settings_text=settings_text,
        environment=_read(path / "environment.json", dict[str, Any]) or {},
        lineage=_read(path / "lineage.json", Any),
        manifest=_read(path / run.data / "manifest.json", Manifest),
        audit=_read(path / "audit.json", Audit),
        stages=_read_stages(path, settings),
        base=_read_evaluated(path / run.base) if run.base else None,
        tuned=_read_evaluated(path / "evaluation"),
        comparison=_read(path / "evaluation" / "comparison.json", Comparison),
        external=tuple(_read_external(path, run)),
    )


def _missing(run: RunFolder) -> Iterator[str]:
    if run.manifest is None:
        yield "The held-out split is not made yet (manifest.json)."
    if run.audit is None:
        yield "Lengths are not audited yet (audit.json)."
    if run.base is None:
        yield "The base model is not evaluated yet (base scores.json)."
    if not run.stages:
        yield "Training has not begun (log.jsonl)."
    for stage in run.stages:
        if stage.done is None:
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


def _read(path: Path, kind: Any) -> Any:
    """The file's JSON as a value of a kind, or None if there is no such file."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return _adapter(kind).validate_json(content)
    except ValidationError as error:
        raise DataError(f"{path}: {_fault(error)}. {_AGAIN}") from error


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


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
                    raise DataError(f"{path}:{number}: {_fault(error)}; mend or delete this line") from error


def _fault(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(key) for key in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]


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
    scores = _read(folder / "scores.json", Scores)
    return None if scores is None else Evaluated(folder, scores)


def _read_external(path: Path, run: Run) -> Iterator[Evaluated]:
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
            raise DataError(f"{path}:{number}: {_fault(error)}; mend or delete this line") from error
        so_far = events.setdefault(event.stage, [])
        if isinstance(event, StageStart):
            so_far[:] = [earlier for earlier in so_far if earlier.step <= event.step]
        so_far.append(event)
    return events


def _read_stages(path: Path, settings: Mapping[str, Any]) -> tuple[Stage, ...]:
    log = _read_log(path / "log.jsonl")
    planned = [str(stage["name"]) for stage in settings.get("stages") or () if "name" in stage]
    on_disk = sorted(folder.name for folder in path.glob("stages/*") if folder.is_dir())
    begun = {*log, *on_disk}
    names = dict.fromkeys(name for name in (*planned, *log, *on_disk) if name in begun)
    return tuple(_read_stage(path / "stages" / name, log.get(name, [])) for name in names)


def _read_stage(folder: Path, events: list[Any]) -> Stage:
    done = _read(folder / "done.json", Done)
    if done is not None and (fault := changed_note(folder, done.files or {})) is not None:
        raise DataError(fault)
    notes = dict.fromkeys(note for event in events if isinstance(event, StageStart) for note in event.notes)
    return Stage(
        name=folder.name,
        done=done,
        parts=_read(folder / "parts.json", tuple[TrainedPart, ...]) or (),
        updates=tuple(event for event in events if isinstance(event, Update)),
        evaluations=tuple(event for event in events if isinstance(event, Evaluation)),
        notes=tuple(notes),
        stopped_early=any(event.stopped_early for event in events if isinstance(event, StageEnd)),
        classes=_read(folder / "classes.json", Classes),
    )
