"""Always on: how far training is, as a progress bar on a terminal and as a line now and then without one."""

from __future__ import annotations

import time
from collections import deque
from datetime import timedelta

from rich.console import Console as Terminal
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from tunesmith.train.observers import Evaluation, Event, Listener, StageEnd, StageStart, Update

RECENT_UPDATES = 20
"""Speed and loss are means over this many updates, so that they can be read."""
METRICS_SHOWN = 4


class Console(Listener):
    """Shows on a terminal, or prints to a file or pipe, what training does."""

    def __init__(self, console: Terminal, seconds_between_lines: float = 10.0) -> None:
        self._console = console
        self._seconds_between_lines = seconds_between_lines
        self._bar: Progress | None = None
        self._recent: deque[Update] = deque(maxlen=RECENT_UPDATES)
        self._tokens_at_start: int | None = None
        self._validation = ""
        self._last_line = time.monotonic()

    def event(self, event: Event) -> None:
        match event:
            case StageStart():
                self._begin(event)
            case Update():
                self._advance(event)
            case Evaluation():
                self._evaluated(event)
            case StageEnd():
                self._end(event)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _begin(self, start: StageStart) -> None:
        self.close()
        self._recent.clear()
        self._tokens_at_start = start.tokens_per_device
        self._validation = ""
        self._say_trained(start)
        for note in start.notes:
            self._print(f"  {note}")
        if start.step:
            self._print(f"  goes on after step {start.step:,}")
        if self._console.is_terminal:
            columns = (
                TextColumn("  {task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[state]}"),
            )
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.add_task(start.stage, total=start.steps, completed=start.step, state="")
            self._bar.start()

    def _say_trained(self, start: StageStart) -> None:
        table = Table("part", "method", title=f"trained in stage {start.stage}", title_justify="left")
        for column in ("trained", "of", "share", "size"):
            table.add_column(column, justify="right")
        for part in start.parts:
            counts = (f"{part.trained:,}", f"{part.total:,}", f"{part.share:.2%}")
            table.add_row(part.part, part.method, *counts, decimal(part.bytes))
        self._console.print(table)

    def _advance(self, update: Update) -> None:
        before = self._recent[-1].tokens_per_device if self._recent else self._tokens_at_start
        if before and update.tokens_per_device and update.tokens_per_device < before:
            told = f" (forecast, corrected: {update.forecast_gib:.1f} GiB)" if update.forecast_gib else ""
            self._print(
                f"  warning: memory ran out at update {update.step:,}; it was done again in micro-batches of at most "
                f"{update.tokens_per_device:,} tokens{told}. Set batch.max_tokens_per_microbatch to that, or "
                "model.checkpointing: offload"
            )
        self._recent.append(update)
        if self._bar is not None:
            state = f"{self._state(update)}{self._validation}"
            self._bar.update(self._bar.task_ids[0], completed=update.step, state=state)
        elif time.monotonic() - self._last_line >= self._seconds_between_lines:
            self._print(
                f"  {update.stage} {update.step:,}/{update.steps:,} {self._state(update)}{self._validation}"
            )

    def _state(self, update: Update) -> str:
        """Loss, speed and time to go, over the last updates."""
        seconds = sum(one.seconds for one in self._recent)
        loss = sum(one.loss * one.trained_tokens for one in self._recent) / sum(
            one.trained_tokens for one in self._recent
        )
        left = timedelta(seconds=round((update.steps - update.step) * seconds / len(self._recent)))
        return (
            f"loss {loss:.4f}, {sum(one.tokens for one in self._recent) / seconds:,.0f} tokens/s, {left} left"
        )

    def _evaluated(self, evaluation: Evaluation) -> None:
        whole = [
            (name, value)
            for name, value in evaluation.metrics.items()
            if "/" not in name or name == evaluation.metric
        ]
        whole.sort(key=lambda named: named[0] != evaluation.metric)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in whole[:METRICS_SHOWN])
        self._validation = ", {} {:.4g}".format(*whole[0]) if whole else ""
        best = " (best so far)" if evaluation.best else ""
        self._print(f"  {evaluation.stage} step {evaluation.step:,}: validation {shown}{best}")

    def _end(self, end: StageEnd) -> None:
        self.close()
        why = ", stopped early" if end.stopped_early else ""
        self._print(f"  {end.stage}: {end.step:,} steps in {timedelta(seconds=round(end.seconds))}{why}")

    def _print(self, text: str) -> None:
        self._last_line = time.monotonic()
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
