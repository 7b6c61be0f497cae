"""The registry of observers: one file per place that training reports to.

An item in the registry is settings; `watch` opens what listens. Events are plain values that a listener only takes note
of, so none can change the course of training.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tunesmith.config.settings import Settings
from tunesmith.runs.stage import TrainedPart


@dataclass(frozen=True)
class StageStart:
    """A stage begins (or goes on, if `step` is not 0)."""

    stage: str
    step: int
    steps: int
    """Updates in the whole stage."""
    steps_per_epoch: int
    parts: tuple[TrainedPart, ...]
    """How much of each part of the model is trained."""
    notes: tuple[str, ...] = ()
    """What the log should say once: attention and its reason, examples dropped, and so on."""
    tokens_per_device: int | None = None
    """Most tokens in a micro-batch, before memory could run out."""


@dataclass(frozen=True)
class Update:
    """One update of the weights."""

    stage: str
    step: int
    """Counts from 1 within the stage."""
    steps: int
    epoch: float
    loss: float
    """Mean nats per trained token of this update; of a head, per example."""
    learning_rate: float
    """Of the first part."""
    gradient_norm: float
    """Before clipping."""
    tokens: int
    trained_tokens: int
    """Tokens that carried loss; of a head, examples."""
    seconds: float
    memory_gib: float
    """Peak memory: of the GPU if there is one, else of the process."""
    tokens_per_device: int | None = None
    """Most tokens in a micro-batch; less than was asked for once memory ran out."""
    forecast_gib: float | None = None
    """What `memory_gib` was forecast to be, corrected once memory ran out; None if nobody asked for a forecast."""


@dataclass(frozen=True)
class Evaluation:
    """A sample of validation records was scored."""

    stage: str
    step: int
    metrics: Mapping[str, float]
    best: bool
    """True if this is the best so far by the metric that tells."""
    metric: str = ""
    """The metric that tells."""


@dataclass(frozen=True)
class StageEnd:
    """A stage is over."""

    stage: str
    step: int
    stopped_early: bool
    seconds: float


@dataclass(frozen=True)
class Diverged:
    """Training of a stage has diverged and was stopped."""

    stage: str
    step: int
    """The update at which it was noticed."""
    steps: int
    reason: str
    """What was not finite, or how far the loss has grown."""
    kept: str
    """What is kept of the stage, in a sentence without its full stop."""


Event = StageStart | Update | Evaluation | StageEnd | Diverged


class Listener:
    """What an observer opens: gets every event in order. Closing it twice does no harm."""

    def event(self, event: Event) -> None:
        """Take note of one event."""

    def close(self) -> None:
        """Let go of files and connections."""


class Observer(Settings):
    """What every observer can do."""

    package: ClassVar[str | None] = None
    """Distribution that it needs, of the extra `tunesmith[tracking]`; `tunesmith doctor` looks for it."""
    kind: Any

    def check(self) -> None:
        """Raise ExperimentError if nothing could be written now, such as without a package or a login. Called before
        anything takes long; by default nothing is looked at."""

    @abstractmethod
    def watch(self, folder: Path, run_name: str, settings: Mapping[str, Any]) -> Listener:
        """Open for one run: its folder, its name (`ag-news/lora`), its resolved experiment. ExperimentError if
        what it needs is not installed."""
