"""Updates whose kernels have been started: while a GPU is at one, the next can be prepared and started after it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor

from tunesmith.train.observers import Update


class Watch:
    """Seconds from when it was made to `stop`: on a GPU by its own clock, as it gets to both."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._marks = [self._mark()]

    def stop(self) -> None:
        """No more is counted."""
        self._marks.append(self._mark())

    def seconds(self) -> float:
        """What was counted; waits until the GPU is there."""
        began, ended = self._marks
        if not self._on_gpu:
            return float(ended - began)
        ended.synchronize()
        return float(began.elapsed_time(ended)) / 1000

    def _mark(self) -> Any:
        if not self._on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


class Underway:
    """An update that has been started."""

    def __init__(self, note: Callable[..., Update], watch: Watch, numbers: Float32[Tensor, "2"]) -> None:
        """`numbers` are the mean loss and the gradient's norm."""
        self._note, self._watch = note, watch
        # Into pinned memory, without waiting for it.
        self._numbers = numbers.to("cpu", non_blocking=True)
        watch.stop()

    def result(self) -> Update:
        """What is to be told of it; waits until the weights have moved."""
        seconds = self._watch.seconds()
        loss, norm = self._numbers.tolist()
        return self._note(loss=loss, gradient_norm=norm, seconds=seconds)
