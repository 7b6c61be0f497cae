"""Observer `trackio`: a local dashboard, shown by `trackio show`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tunesmith.train.observers import Diverged, Event, Listener, Observer, StageEnd, StageStart
from tunesmith.train.observers._tracking import not_installed, numbers, refuse_missing

if TYPE_CHECKING:
    from trackio import Run


class Trackio(Observer):
    """trackio, on this machine only: a database in `TRACKIO_DIR`, or else in the cache of Hugging Face."""

    package: ClassVar[str | None] = "trackio"
    kind: Literal["trackio"] = "trackio"
    project: str = "tunesmith"
    """Project in the dashboard."""

    def check(self) -> None:
        """Raise ExperimentError if trackio is not installed."""
        refuse_missing("trackio", "trackio")

    def watch(self, folder: Path, run_name: str, settings: Mapping[str, Any]) -> Listener:
        """Open, or go on with, the run of this name. ExperimentError if trackio is not installed."""
        try:
            import trackio
        except ImportError as error:
            raise not_installed("trackio", "trackio") from error
        run = trackio.init(
            project=self.project,
            name=run_name,
            config=dict(settings),
            resume="allow",
            embed=False,
            auto_log_cpu=False,
            auto_log_gpu=False,
        )
        return _Run(run)


class _Run(Listener):
    def __init__(self, run: Run) -> None:
        self._run: Run | None = run

    def event(self, event: Event) -> None:
        if self._run is not None and not isinstance(event, StageStart | StageEnd | Diverged):
            named = {f"{event.stage}/{name}": value for name, value in numbers(event).items()}
            self._run.log(named, step=event.step)

    def close(self) -> None:
        if self._run is not None:
            self._run.finish()
            self._run = None
