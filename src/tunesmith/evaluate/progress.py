"""Tells how far a long evaluation is: a bar on a terminal, a line now and then without one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def counting(what: str, total: int, done: int, console: Console) -> Iterator[Callable[[], None]]:
    """A function to call after each one that is done, from `done` on to `total`."""
    if not console.is_terminal:
        yield _lines(what, total, done, console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(what, total=total, completed=done)
        yield lambda: progress.advance(bar)


def _lines(what: str, total: int, done: int, console: Console) -> Callable[[], None]:
    began = last = time.monotonic()
    num_done = done

    def advance() -> None:
        nonlocal last, num_done
        num_done += 1
        now = time.monotonic()
        if now - last > _SECONDS_BETWEEN_LINES:
            last = now
            rate = (num_done - done) / (now - began)
            left = (total - num_done) / rate
            console.print(
                f"{what}: {num_done:,} of {total:,}, {rate:.1f} a second, {left:.0f} s left", highlight=False
            )

    return advance
