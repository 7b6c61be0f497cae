"""Observer `wandb`: Weights & Biases, online or in files that `wandb sync` sends later."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tunesmith.errors import ExperimentError
from tunesmith.train.observers import Diverged, Event, Listener, Observer, StageEnd, StageStart
from tunesmith.train.observers._tracking import not_installed, numbers, refuse_missing

if TYPE_CHECKING:
    from wandb import Run


_LOGIN_SECONDS = 30


def _no_login(why: object) -> ExperimentError:
    told = str(why).rstrip(". ")
    return ExperimentError(
        f"track: 'wandb' could not begin a run: {told}. Call `wandb login`, set mode: offline, or leave 'wandb' out"
    )


class Wandb(Observer):
    """Weights & Biases. The key comes from `wandb login` or the environment, never from the experiment."""

    package: ClassVar[str | None] = "wandb"
    kind: Literal["wandb"] = "wandb"
    project: str = "tunesmith"
    """Project on the server."""
    entity: str | None = None
    """User or team on the server; none is the key's own."""
    mode: Literal["online", "offline", "disabled"] = "online"
    """`online` sends as it goes, `offline` only writes to `wandb/` in the run folder, `disabled` nothing."""

    def check(self) -> None:
        """Raise ExperimentError if the package is not installed or, online, the server does not let us in."""
        refuse_missing("wandb", "wandb")
        if self.mode != "online":
            return
        import wandb

        try:
            known = wandb.login(prompt=False, timeout=_LOGIN_SECONDS)
        except wandb.Error as error:
            raise _no_login(error) from error
        if not known:
            raise _no_login("there is no API key on this machine")

    def watch(self, folder: Path, run_name: str, settings: Mapping[str, Any]) -> Listener:
        """Open, or go on with, the run of this folder. ExperimentError if the package is not installed, or
        the server does not let us in."""
        try:
            import wandb
        except ImportError as error:
            raise not_installed("wandb", "wandb") from error
        quiet = wandb.Settings(
            console="off", silent=self.mode != "online", disable_code=True, disable_git=True
        )
        try:
            run = wandb.init(
                project=self.project,
                entity=self.entity,
                name=run_name,
                id=hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16],
                resume="allow" if self.mode == "online" else None,
                mode=self.mode,
                dir=folder,
                config=dict(settings),
                settings=quiet,
                reinit="create_new",
            )
        except wandb.Error as error:
            raise _no_login(error) from error
        return _Run(run)


class _Run(Listener):
    def __init__(self, run: Run) -> None:
        self._run = run

    def event(self, event: Event) -> None:
        if isinstance(event, StageStart):
            # Stages count their steps from 1 each, so every stage has an axis of its own.
            self._run.define_metric(f"{event.stage}/*", step_metric=f"{event.stage}/step")
        elif not isinstance(event, StageEnd | Diverged):
            named = {f"{event.stage}/{name}": value for name, value in numbers(event).items()}
            self._run.log(named | {f"{event.stage}/step": event.step})

    def close(self) -> None:
        self._run.finish()
