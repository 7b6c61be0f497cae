"""What is measured of one engine: times of updates, memory, idle time, and what the chip could do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

PROFILED = 2
"""Updates, after the timed ones, of which each kernel's time is recorded."""
FEWEST = 3
"""Timed updates, if time runs out."""


class Clock:
    """Stands beside an engine, which calls `start` before its first update and `tick` after each.

    On a GPU the times are those at which the GPU was done, recorded without making the engine wait for it.
    """

    def __init__(
        self, warmup: int, updates: int, deadline: float, tell: Callable[[], None] = lambda: None
    ) -> None:
        self.warmup, self.updates = warmup, updates
        self.deadline = deadline
        """Time by `time.time()` after which a slow engine makes do with fewer updates."""
        self._tell = tell
        """Is called when the timed updates begin."""
        self.loss: float | None = None
        self.tokens: int | None = None
        self.ready = self.first = 0.0
        self.over = False
        self.trained = 0
        self._on_gpu = torch.cuda.is_available()
        self._marks: list[Any] = []
        self._profiler: Any = None
        self._kernels: list[tuple[str, int, int]] = []

    @property
    def total(self) -> int:
        """Updates in all."""
        return self.warmup + self.updates + (PROFILED if self._on_gpu else 0)

    def start(self, trained: Iterable[torch.nn.Parameter]) -> None:
        """The model is there, and these weights of it are trained; the first update comes now."""
        self.trained = sum(weight.numel() for weight in trained if weight.requires_grad)
        if self._on_gpu:
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        self.ready = time.time()
        self._mark()

    def tick(self, loss: float | None = None, tokens: int | None = None) -> None:
        """An update is done. Of the first one, loss and real tokens are kept."""
        self._mark()
        done = len(self._marks) - 1
        if done == max(self.warmup - 1, 1):
            self._tell()
        if done == 1:
            self.first = time.time()
            self.saw(loss, tokens)
        if done < self.warmup + self.updates and time.time() > self.deadline:
            self.over = done >= self.warmup + FEWEST
        if self._on_gpu and done == self.warmup + self.updates:
            self._start_profiler()
        if self._on_gpu and done == self.total:
            self._stop_profiler()

    def saw(self, loss: float | None, tokens: int | None) -> None:
        """Note the first update's loss and number of real tokens."""
        self.loss = loss if self.loss is None else self.loss
        self.tokens = tokens if self.tokens is None else self.tokens

    def measured(self) -> dict[str, Any]:
        """All that was measured; call it when the engine is done."""
        memory: dict[str, Any] = {"peak_gib": None, "reserved_gib": None}
        if self._on_gpu:
            torch.cuda.synchronize()
            memory["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
            memory["reserved_gib"] = torch.cuda.max_memory_reserved() / 2**30
        seconds = self._seconds()[self.warmup : self.warmup + self.updates]
        if not seconds:
            raise RuntimeError("the engine ended before a single update was timed")
        median = float(np.median(seconds))
        return {
            "update_seconds": median,
            "fastest": min(seconds),
            "slowest": max(seconds),
            "seconds": seconds,
            "loss": self.loss,
            "tokens_seen": self.tokens,
            "trained_weights": self.trained,
            **memory,
            **self._gpu_time(median),
        }

    def _mark(self) -> None:
        if self._on_gpu:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._marks.append(event)
        else:
            self._marks.append(time.perf_counter())

    def _seconds(self) -> list[float]:
        pairs = list(zip(self._marks, self._marks[1:], strict=False))
        if self._on_gpu:
            return [before.elapsed_time(after) / 1000 for before, after in pairs]
        return [after - before for before, after in pairs]

    def _start_profiler(self) -> None:
        try:
            torch.cuda.synchronize()
            self._profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA])
            self._profiler.start()
        except Exception as error:
            print(f"no profile: {error}", flush=True)
            self._profiler = None

    def _stop_profiler(self) -> None:
        if self._profiler is None:
            return
        try:
            torch.cuda.synchronize()
            self._profiler.stop()
            found = self._profiler.profiler.kineto_results.events()
            self._kernels = [
                (event.name(), event.start_ns(), event.duration_ns())
                for event in found
                if event.device_type() == torch.autograd.DeviceType.CUDA and event.duration_ns() > 0
            ]
        except Exception as error:
            print(f"no profile: {error}", flush=True)

    def _gpu_time(self, median: float) -> dict[str, Any]:
        """The share of an update in which the GPU did nothing, and the kernels that took longest.

        Recording kernels slows an engine down but not its kernels, so their time is compared with updates that were
        not recorded. Annotations of whole regions, which the recorder lists too, are no work.
        """
        work = [one for one in self._kernels if not one[0].startswith(("ProfilerStep", "Optimizer.", "##"))]
        if not work:
            return {"busy_seconds": None, "idle": None, "kernels": []}
        busy, until = 0, 0
        for _, begin, length in sorted(work, key=lambda one: one[1]):
            end = begin + length
            busy += max(0, end - max(begin, until))
            until = max(until, end)
        by_name: dict[str, list[int]] = {}
        for name, _, length in work:
            by_name.setdefault(name, []).append(length)
        longest = sorted(by_name.items(), key=lambda one: -sum(one[1]))[:15]
        busy_seconds = busy / 1e9 / PROFILED
        return {
            "busy_seconds": busy_seconds,
            "idle": max(0.0, 1 - busy_seconds / median),
            "num_kernels": len(work) // PROFILED,
            "kernels": [
                {"name": name[:120], "ms": sum(each) / 1e6 / PROFILED, "calls": len(each) // PROFILED}
                for name, each in longest
            ],
        }


def matrix_rate() -> float | None:
    """Floating-point operations a second of a bf16 product of 8192 x 8192 random matrices on the GPU."""
    if not torch.cuda.is_available():
        return None
    size, times = 8192, 20
    torch.cuda.empty_cache()
    one, other = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    out = torch.empty_like(one)
    for _ in range(5):
        torch.mm(one, other, out=out)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(times):
        torch.mm(one, other, out=out)
    end.record()
    torch.cuda.synchronize()
    return times * 2 * size**3 / (begin.elapsed_time(end) / 1000)
