"""A sample's journey, form 2: what is asked, turn by turn, and the answer that is wanted. Made by a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tunesmith.images.boxes import AskForBoxes, Boxes
from tunesmith.images.picture import Picture

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True)
class Text:
    """A piece of a turn that is text."""

    text: str


Piece = Text | Picture | AskForBoxes | Boxes


@dataclass(frozen=True)
class Turn:
    """What one side says: pieces in order. Text and pictures are pieces, and so are boxes, which each family of
    models writes in its own way."""

    role: Role
    pieces: tuple[Piece, ...]
    reasoning: str = ""
    """What the assistant thinks before it answers."""
    tool_calls: tuple[str, ...] = ()
    """Functions that the assistant calls, each as JSON text: an object with `name` and `arguments`."""
    trained: bool = True
    """False for an assistant's turn that the data marks as not to be trained."""

    @staticmethod
    def of(role: Role, text: str) -> Turn:
        """A turn of one text."""
        return Turn(role, (Text(text),))

    @property
    def text(self) -> str:
        """The turn's texts joined, and what it asks for."""
        return "".join(piece.text for piece in self.pieces if isinstance(piece, Text | AskForBoxes))

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """The turn's pictures in order."""
        return tuple(piece for piece in self.pieces if isinstance(piece, Picture))


@dataclass(frozen=True)
class Conversation:
    """Turns up to the question, and the reference answer to it."""

    record: str
    """Id of the record that it was made from."""
    turns: tuple[Turn, ...]
    """All turns before the answer; the last one is the user's. Earlier assistant turns may stand among them."""
    answer: str
    """The reference answer, exactly as the model should write it (of boxes, as reports show it); empty if none is
    known."""
    label: int | None = None
    """Index of the class, if the task has classes."""
    accepted: tuple[str, ...] = ()
    """Other answers that are as right as the reference."""
    boxes: Boxes | None = None
    """The reference answer of a task that asks where things are: the model's family writes it. Without a reference,
    the picture and the labels that are asked about, and no boxes."""
    labels: tuple[int, ...] | None = None
    """Indices of the classes, if a record can have any number of them; `label` is None then."""
    reply: Turn | None = None
    """The reference answer as a turn, if it is more than a text: with reasoning or tool calls. `answer` is then what
    reports show."""
    tools: tuple[str, ...] = ()
    """Functions that the model may call, each as JSON text in OpenAI's form."""

    @property
    def classes(self) -> tuple[int, ...] | None:
        """Indices of the class or classes, or None if the task has none."""
        return self.labels if self.label is None else (self.label,)

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All pictures in order."""
        return tuple(picture for turn in self.turns for picture in turn.pictures)
