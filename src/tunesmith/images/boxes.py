"""Where things are in a picture, in no model's coordinates: pieces of turns that a model's family writes and reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tunesmith.images.picture import Picture

BoxForm = Literal["auto", "tokens", "json"]
"""How boxes stand in text: as the model's generation was trained, as special tokens, or as a JSON list."""

Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class Box:
    """One thing in a picture."""

    label: str
    corners: Corners
    """Left, top, right, bottom, as shares (0 to 1) of the picture's width and height."""

    def to_json(self) -> dict[str, Any]:
        """How it stands in rows and reports."""
        return {"label": self.label, "corners": list(self.corners)}


@dataclass(frozen=True)
class Boxes:
    """All things asked for in a picture: a piece of an assistant's turn, or the answer."""

    picture: Picture
    boxes: tuple[Box, ...]
    """In the order in which the answer names them; none if there is nothing of the kind in the picture."""
    form: BoxForm = "auto"
    labels: tuple[str, ...] = ()
    """The labels that were asked about, in the picture or not."""


@dataclass(frozen=True)
class AskForBoxes:
    """The question where things of these labels are: a piece of a user's turn, in the words of the model's
    generation."""

    labels: tuple[str, ...]
    form: BoxForm = "auto"

    @property
    def text(self) -> str:
        """The question in no model's words, for reports."""
        return f"Where is every {' and every '.join(self.labels)}?"
