"""A sample's journey, form 3: token ids, which of them are trained, and pictures. Made by a model family's renderer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32

from tunesmith.images.picture import Picture


@dataclass(frozen=True)
class Placed:
    """A picture among an example's tokens, and the grid of patches that it is cut into."""

    picture: Picture
    start: int
    """Index of the first of its tokens."""
    rows: int
    """Tokens from top to bottom."""
    columns: int
    """Tokens from left to right."""
    patch_size: int
    """Side of a patch in pixels."""
    merge_size: int
    """Side of a token in patches."""

    @property
    def num_tokens(self) -> int:
        """Tokens that stand for the picture."""
        return self.rows * self.columns

    @property
    def grid(self) -> tuple[int, int]:
        """Patches from top to bottom, and from left to right."""
        return self.rows * self.merge_size, self.columns * self.merge_size

    @property
    def num_patches(self) -> int:
        """Patches of the whole picture."""
        return self.num_tokens * self.merge_size**2

    @property
    def height(self) -> int:
        """Pixels from top to bottom, of the picture as the model sees it."""
        return self.grid[0] * self.patch_size

    @property
    def width(self) -> int:
        """Pixels from left to right, of the picture as the model sees it."""
        return self.grid[1] * self.patch_size


@dataclass(frozen=True, eq=False)
class Example:
    """One training example (or a prompt, of which nothing is trained) as the model will see it."""

    record: str
    """Id of the record that it was made from."""
    tokens: Int32[np.ndarray, " token"]
    """Token ids."""
    trained: Bool[np.ndarray, " token"]
    """True where the token carries loss, that is where the model learns to predict it."""
    classes: tuple[int, ...] | None = None
    """Indices of the class or classes, if the task has classes."""
    pictures: tuple[Placed, ...] = ()
    """Its pictures in the order of their tokens."""

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def num_picture_tokens(self) -> int:
        """Tokens that stand for pictures."""
        return sum(placed.num_tokens for placed in self.pictures)
