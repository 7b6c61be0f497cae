"""Observer `tensorboard`: curves in the run folder, read by `tensorboard --logdir`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tunesmith.train.observers import Diverged, Event, Listener, Observer, StageEnd, StageStart
from tunesmith.train.observers._tracking import not_installed, numbers, refuse_missing

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Tensorboard(Observer):
    """TensorBoard files in `tensorboard/<stage>` of the run folder: every stage is a curve of its own."""

    package: ClassVar[str | None] = "tensorboard"
    kind: Literal["tensorboard"] = "tensorboard"

    def check(self) -> None:
        """Raise ExperimentError if tensorboard is not installed."""
        refuse_missing("tensorboard", "tensorboard")

    def watch(self, folder: Path, run_name: str, settings: Mapping[str, Any]) -> Listener:
        """Write for one run. ExperimentError if TensorBoard is not installed."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise not_installed("tensorboard", "tensorboard") from error
        return _Writing(SummaryWriter, folder / "tensorboard", settings)


class _Writing(Listener):
    def __init__(self, writer: type[SummaryWriter], folder: Path, settings: Mapping[str, Any]) -> None:
        self._new_writer = writer
        self._folder = folder
        self._settings = settings
        self._writer: SummaryWriter | None = None

    def event(self, event: Event) -> None:
        if isinstance(event, StageStart):
            self.close()
            # What an interrupted stage wrote after its last checkpoint is done again, so it is purged.
            purged = event.step + 1 if event.step else None
            self._writer = self._new_writer(str(self._folder / event.stage), purge_step=purged)
            self._writer.add_text("experiment", f"```json\n{json.dumps(self._settings, indent=2)}\n```")
        elif not isinstance(event, StageEnd | Diverged) and self._writer is not None:
            for name, value in numbers(event).items():
                self._writer.add_scalar(name, value, event.step)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
