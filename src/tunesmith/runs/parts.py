"""`parts.json`: how much of each part of the model a stage trains."""

from __future__ import annotations

from dataclasses import dataclass

from tunesmith.runs.json_file import JsonFile


@dataclass(frozen=True)
class TrainedPart:
    """An entry of `parts.json`, for one part of the model."""

    part: str
    method: str
    """Kind of the method that trains it."""
    trained: int
    """Number of trained weights."""
    total: int
    """Number of all weights."""
    share: float
    """Trained share of the part's weights."""
    bytes: int
    """Size of what is trained."""


PARTS = JsonFile[tuple[TrainedPart, ...]]("parts.json", tuple[TrainedPart, ...])
