"""Tells how far a long job over records is: a bar on a terminal, a line now and then without one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)

_SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def counting(what: str, total: int | None, done: int, console: Console) -> Iterator[Callable[[], None]]:
    """A function to call after each one that is done, from `done` on to `total` (None if that is not known)."""
    if not console.is_terminal:
        yield _lines(what, total, done, console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(what, total=total, completed=done)
        yield lambda: progress.advance(bar)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> str:
        """How many are done in a second."""
        return f"{task.speed:.1f}/s" if task.speed else ""


def _lines(what: str, total: int | None, done: int, console: Console) -> Callable[[], None]:
    began = last = time.monotonic()
    num_done = done

    def advance() -> None:
        nonlocal last, num_done
        num_done += 1
        now = time.monotonic()
        if now - last > _SECONDS_BETWEEN_LINES:
            last = now
            rate = (num_done - done) / (now - began)
            of = "" if total is None else f" of {total:,}"
            left = "" if total is None else f", {(total - num_done) / rate:.0f} s left"
            console.print(f"{what}: {num_done:,}{of}, {rate:.1f} a second{left}", highlight=False)

    return advance
