"""The sides of a split, in the order in which they are protected from what stands on the others."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

SideName = Literal["train", "validation", "test"]


class Side(IntEnum):
    """Where a record belongs; of two sides with the same text, the greater one keeps it."""

    DROPPED = 0
    TRAIN = 1
    VALIDATION = 2
    TEST = 3

    @property
    def word(self) -> str:
        """As it is written in a manifest."""
        return self.name.lower()
