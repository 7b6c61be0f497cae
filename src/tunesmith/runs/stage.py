"""The JSON files in a stage's folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from tunesmith.runs.json_file import JsonFile


@dataclass(frozen=True)
class StageResult:
    """The content of `done.json`. Files of earlier versions lack the fields that have a default."""

    fingerprint: str
    """Key of everything that decides what the stage leaves."""
    steps: int
    seconds: float
    best_step: int | None = None
    """The update whose weights the stage left: the best on validation records; None for the last."""
    bytes: int | None = None
    """Size of the weights that it left."""
    sha256: str | None = None
    """One hash of all these weights."""
    files: Mapping[str, str] | None = None
    """SHA-256 of each file that the stage left or wrote for the report, by its name in the folder."""
    task: Mapping[str, Any] | None = None
    """The task's settings that the stage was trained with."""
    longest_answer: int = 0
    """Tokens of the longest answer that was trained on."""


DONE = JsonFile[StageResult]("done.json", StageResult)


@dataclass(frozen=True)
class TrainedClasses:
    """The content of `classes.json`."""

    labels: tuple[str, ...]
    counts: tuple[int, ...]
    """Training examples of each class; repeated ones count each time."""
    weights: tuple[float, ...] | None
    """Loss weight of an example of each class; None if all have the same weight."""


CLASSES = JsonFile[TrainedClasses]("classes.json", TrainedClasses)


@dataclass(frozen=True)
class TrainedPart:
    """An entry of `parts.json`, for one part of the model."""

    part: str
    method: str
    """Kind of the method that trains it."""
    trained: int
    """Number of trained weights."""
    total: int
    """Number of all weights."""
    share: float
    """Trained share of the part's weights."""
    bytes: int
    """Size of what is trained."""


PARTS = JsonFile[tuple[TrainedPart, ...]]("parts.json", tuple[TrainedPart, ...])


@dataclass(frozen=True)
class ExecutionPlan:
    """The content of `memory.json`."""

    checkpointing: Literal["none", "selective", "full", "offload"]
    """Level of activation checkpointing."""
    tokens_per_device: Annotated[int, Field(gt=0)]
    """Most tokens in a micro-batch."""


EXECUTION_PLAN = JsonFile[ExecutionPlan]("memory.json", ExecutionPlan)


@dataclass(frozen=True)
class TakenOverFrom:
    """The content of `trained_in.json`, of a stage that another run has trained."""

    run: str
    """Folder of that run, relative to the folder of this one."""


CLAIM = JsonFile[str]("claim.json", str)
"""Key of the settings that the folder belongs to."""
BASE = JsonFile[Mapping[str, str]]("base.json", Mapping[str, str])
"""Hashes of a few weights of the base model, by name."""
TRAINED_IN = JsonFile[TakenOverFrom]("trained_in.json", TakenOverFrom)
