"""The JSON files of a run as a whole: `run.json`, `environment.json`, `lineage.json`, and those of its evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tunesmith.runs.json_file import JsonFile


@dataclass(frozen=True)
class RunInfo:
    """The content of `run.json`. Files of earlier versions lack the fields that have a default."""

    experiment: str
    variant: str
    number: int = 1
    """Counts the runs of the variant from 1; each has other settings."""
    key: str | None = None
    """Key of all settings that decide what the run measures."""
    asked: str = ""
    """Key of what its evaluations measure; predictions from elsewhere for the same records have it too."""
    data: str = ""
    """Folder of the prepared records, relative to the run folder."""
    base: str = ""
    """Folder of the evaluation of the base model, relative to the run folder."""
    where: str = "."
    """Folder of the experiment file, relative to the run folder."""
    model: str | None = None
    """The base model: an absolute path, or its name on the hub."""

    @property
    def label(self) -> str:
        """Name of the run folder: `lora`, or `lora@2` for the second run of the variant."""
        return self.variant if self.number == 1 else f"{self.variant}@{self.number}"


RUN = JsonFile[RunInfo]("run.json", RunInfo)


@dataclass(frozen=True)
class Gpu:
    """The GPU of a run."""

    name: str
    memory_gib: float


@dataclass(frozen=True)
class Environment:
    """The content of `environment.json`. Files of earlier versions may lack any of the fields."""

    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions by package, and of Python."""
    system: str = ""
    cores: int | None = None
    memory_gib: float | None = None
    """Memory of the machine."""
    gpu: Gpu | None = None
    command: str = ""
    later: tuple[Environment, ...] = ()
    """Other environments that the run was continued in."""


ENVIRONMENT = JsonFile[Environment]("environment.json", Environment, omitted=("later",))


@dataclass(frozen=True)
class StageLineage:
    """An entry of `lineage.json`, for one stage."""

    stage: str
    started_from: str
    """Name of the stage that it started from, or `base`."""
    started_from_key: str | None = field(default=None, kw_only=True)
    """The key of what it started from."""
    key: str
    """Key of everything that decides what the stage leaves."""
    left: str | None
    """One hash of the weights that it left."""


LINEAGE = JsonFile[tuple[StageLineage, ...]]("lineage.json", tuple[StageLineage, ...])


@dataclass(frozen=True)
class PredictionsSource:
    """The content of `source.json`, of predictions that were made elsewhere."""

    name: str
    file: str
    sha256: str
    """Hash of the file."""


EVALUATION_KEY = JsonFile[str]("key.json", str)
"""Key of the settings that an evaluation belongs to."""
PREDICTIONS_SOURCE = JsonFile[PredictionsSource]("source.json", PredictionsSource)
