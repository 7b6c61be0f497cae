"""The learning rate over a stage, as a factor of its peak."""

from __future__ import annotations

import math
from typing import Literal

from tunesmith.config.experiment import Optimizer


def warmup_steps(warmup: float, steps: int) -> int:
    """Updates of warmup: a share of the stage if below 1, else a number (at most the stage).

    >>> warmup_steps(0.03, 100), warmup_steps(20, 100)
    (3, 20)
    """
    return min(steps, math.ceil(warmup * steps) if warmup < 1 else round(warmup))


def warmup_note(settings: Optimizer, steps: int) -> str | None:
    """A warning if the warmup is as long as the stage of `steps` updates, else None."""
    if settings.warmup < 1 or warmup_steps(settings.warmup, steps) < steps:
        return None
    return (
        f"warning: optimizer.warmup is {settings.warmup:g} updates, but the stage has only {steps:,}, so the learning "
        f"rate never reaches {settings.learning_rate:g}. Set a shorter warmup, or a share such as 0.03"
    )


def factor(step: int, steps: int, warmup: int, shape: Literal["constant", "linear", "cosine"]) -> float:
    """Share of the peak learning rate at update `step` (from 0): rises linearly over the warmup, then stays, falls
    linearly, or falls as a half cosine (Loshchilov and Hutter 2017) to zero at `steps`.

    >>> [round(factor(step, 4, 0, "cosine"), 3) for step in range(5)]
    [1.0, 0.854, 0.5, 0.146, 0.0]
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    passed = (step - warmup) / max(1, steps - warmup)
    if shape == "cosine":
        return 0.5 * (1 + math.cos(math.pi * passed))
    return 1 - passed if shape == "linear" else 1.0
