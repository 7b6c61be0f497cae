"""Updates that are still running on the GPU while the next one is prepared."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor

from tunesmith.train.observers import Update


class CudaTimer:
    """Seconds from its creation to `stop`, measured on a GPU by CUDA events and else by the host's clock."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._marks = [self._mark()]

    def stop(self) -> None:
        """Record the end."""
        self._marks.append(self._mark())

    def seconds(self) -> float:
        """The measured seconds; waits for the GPU."""
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


class PendingUpdate:
    """An update that was launched and whose loss has not been read yet."""

    def __init__(self, note: Callable[..., Update], timer: CudaTimer, numbers: Float32[Tensor, "2"]) -> None:
        """`numbers` are the mean loss and the gradient's norm."""
        self._note, self._timer = note, timer
        # Into pinned memory, without waiting for it.
        self._numbers = numbers.to("cpu", non_blocking=True)
        timer.stop()

    def result(self) -> Update:
        """The event of the finished update; waits for the GPU."""
        seconds = self._timer.seconds()
        loss, norm = self._numbers.tolist()
        return self._note(loss=loss, gradient_norm=norm, seconds=seconds)
