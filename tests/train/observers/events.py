"""The events of a short stage, for every observer's test."""

from __future__ import annotations

from tunesmith.runs.stage import TrainedPart
from tunesmith.train.observers import Evaluation, StageEnd, StageStart, Update

PART = TrainedPart("language", "lora", trained=1_200, total=48_000, share=0.025, bytes=4_800)
START = StageStart("adapt", 0, 4, 2, (PART,), ("attention: sdpa (no GPU)",))
EVALUATION = Evaluation("adapt", 2, {"accuracy": 0.75, "f1/World": 0.5}, best=True)
END = StageEnd("adapt", 4, stopped_early=False, seconds=4.0)


def update(step: int, stage: str = "adapt", steps: int = 4) -> Update:
    """Update `step`, of one second and a loss of 1 / step."""
    return Update(
        stage=stage,
        step=step,
        steps=steps,
        epoch=step / 2,
        loss=1 / step,
        learning_rate=1e-4 * step,
        gradient_norm=0.5,
        tokens=100,
        trained_tokens=10,
        seconds=1.0,
        memory_gib=1.5,
    )


EVENTS = (START, update(1), update(2), EVALUATION, update(3), update(4), END)
