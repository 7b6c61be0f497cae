"""Tells how far a long job over records is: a live count on a terminal, a line now and then without one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Report = Callable[[str, int], None]
"""Is told what is being done, and how much of it is done."""

_SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def reporting(given: Report | None) -> Iterator[Report]:
    """The given report, or else one to standard error."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if given is not None:
        yield given
    elif not console.is_terminal:
        yield _Lines(console)
    else:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("reading", total=None)
            yield lambda what, done: bar.update(task, description=what, completed=done)


class _Lines:
    """Prints a line when the last one is some time ago; nothing for a short job."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = time.monotonic()

    def __call__(self, what: str, done: int) -> None:
        now = time.monotonic()
        if now - self._last > _SECONDS_BETWEEN_LINES:
            self._last = now
            self._console.print(f"{what}: {done:,}", highlight=False)
