"""A sample's journey, form 3: token ids and which of them are trained. Made by a model family's renderer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32


@dataclass(frozen=True, eq=False)
class Example:
    """One training example as the model will see it."""

    record: str
    """Id of the record that it was made from."""
    tokens: Int32[np.ndarray, "token"]
    """Token ids."""
    trained: Bool[np.ndarray, "token"]
    """True where the token carries loss, that is where the model learns to predict it."""
    label: int | None = None
    """Index of the class, if the task has classes."""

    def __len__(self) -> int:
        return len(self.tokens)
