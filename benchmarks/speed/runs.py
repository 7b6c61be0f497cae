"""Jobs one after the other, each in a process of its own, and what came of each: a row of the table."""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from benchmarks.speed import shapes, table
from benchmarks.speed.compare import Row
from benchmarks.speed.engines import ENGINES, Job
from benchmarks.speed.goals import Key
from benchmarks.speed.process import Ahead, Process
from benchmarks.speed.workloads import of, write_pictures

IMPORTING = 180
"""Seconds that an engine's libraries may take to be imported once nothing else is left to do."""


class LeftOutError(Exception):
    """There was no time for an engine."""


@dataclass
class Runs:
    """Runs what it is asked for while there is time."""

    asked: argparse.Namespace
    place: Path
    """For all that lasts as long as the benchmark."""
    log: Path
    ahead: Ahead
    until: float = math.inf
    """Time by `time.time()` when all must be over."""
    _longest: dict[str, float] = field(default_factory=dict)
    """Seconds that the slowest so far took, by file of engine."""

    def row(self, key: Key) -> Row:
        """What the engine measured, or why it did not; LeftOutError if there was no time for that."""
        engine, workload, method, model = key
        kind = ENGINES[engine].file
        needed = self._longest.get(kind, max(self._longest.values(), default=0.0))
        if (left := self._left) < max(needed, 1):
            self.ahead.leave_out()
            raise LeftOutError(f"left out: {left:.0f} s are left, and the like of it took {needed:.0f}")
        job = self._job(key)
        process = self.ahead.take()
        row = {"engine": engine, "workload": workload, "method": method, "model": model}
        row |= {"settings": job.settings.settings} | self._measured(process, job)
        with self.log.open("a") as log:
            log.write(f"\n===== {', '.join(key)}\n{process.said[-40_000:]}")
        self._longest[kind] = max(self._longest.get(kind, 0.0), row["took"])
        if "error" in row:
            return row
        row["enough"] = len(row["seconds"]) >= self.asked.updates
        return table.completed(
            row | {"tokens": job.work.tokens, "patches": job.work.patches}, _counts(job.folder)
        )

    @property
    def _left(self) -> float:
        return self.until - time.time()

    def _measured(self, process: Process, job: Job) -> Row:
        came = time.time()
        ready = process.is_ready(min(IMPORTING, self._left))
        limit = min(self.asked.limit, self._left)
        began = time.time()
        if ready and limit > 0:
            # A slow engine makes do with fewer updates before it is stopped.
            process.begin(job, began + 0.75 * limit)
            ended = process.has_ended(limit, self.ahead.start_next())
        else:
            process.stop()
            ended = False
        times = {"took": time.time() - began, "waited_for_imports": began - came}
        result = process.result
        if result is not None:
            return times | result
        if ended:
            last = (process.said.strip().splitlines() or ["it said nothing"])[-1]
            return times | {"error": f"ended without a result ({last[:160]})"}
        if limit < self.asked.limit:
            raise LeftOutError(
                f"left out: it was not done after {times['took']:.0f} s, the last that were left"
            )
        if not ready:
            return times | {"error": f"had not imported its libraries after {IMPORTING} seconds"}
        return times | {"error": f"stopped after {limit:.0f} seconds"}

    def _job(self, key: Key) -> Job:
        """The job, for which model and pictures are there; its time begins when it is given out."""
        engine, workload, method, model = key
        folder = self.place / model
        if not (folder / "config.json").is_file():
            folder.mkdir(exist_ok=True)
            shapes.write_folder(folder, model, self.asked.small)
        asked = self.asked
        warmup = max(asked.warmup, of(workload, asked.small).warmup)
        job = Job(engine, workload, method, model, folder, asked.small, warmup, asked.updates)
        if job.work.sees and not job.pictures.is_dir():
            job.pictures.mkdir()
            write_pictures(job.pictures, job.work)
        return job


@cache
def _counts(folder: Path) -> dict[str, int]:
    from benchmarks.speed.weights import counted
    from transformers import AutoConfig

    return counted(AutoConfig.from_pretrained(folder))
