"""Rendered examples for the eye: what the model sees, and which tokens it learns to predict."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.text import Text

from tunesmith.batching.example import Example, Placed
from tunesmith.errors import counted, visible
from tunesmith.images.boxes import Box, Boxes
from tunesmith.images.picture import Picture
from tunesmith.model.families import Family
from tunesmith.pipeline.context import RunContext
from tunesmith.pipeline.drawing import as_seen, draw, preview
from tunesmith.pipeline.stage_examples import stage_records
from tunesmith.records.conversation import Conversation
from tunesmith.records.sampling import fixed_sample
from tunesmith.train.examples import renderer

TRAINED, SEEN, CONTROL, FOLDED = "bold green", "dim", "reverse", "cyan"
MOST_OF_A_NAME = 100
"""Characters of a record's id in the name of a drawing."""


@dataclass(frozen=True)
class ShownPicture:
    """A picture of an example, and what the example says is in it."""

    number: int
    """Among those of its example, from 1."""
    placed: Placed
    boxes: tuple[Box, ...]
    path: Path
    """Where it is to be drawn."""

    def draw(self) -> None:
        """Write the drawing; DataError if the picture's file is not what it was when the data was prepared."""
        draw(self._image, self.boxes, self.path)

    def caption(self, has_colours: bool) -> Text:
        """The path of the drawing, after a preview of the picture for a terminal with colours."""
        text = preview(self._image, self.boxes) if has_colours else Text()
        boxes = f" with {len(self.boxes)} box{'es' if len(self.boxes) > 1 else ''}" if self.boxes else ""
        return text.append(f"picture {self.number}{boxes}, as the model sees it: {self.path}")

    def to_json(self) -> dict[str, Any]:
        """What is known of it, for programs."""
        picture, placed = self.placed.picture, self.placed
        return {
            "path": picture.path,
            "size": [picture.width, picture.height],
            "seen": [placed.width, placed.height],
            "tokens": placed.num_tokens,
            "boxes": [box.to_json() for box in self.boxes],
            "drawing": str(self.path),
        }

    @cached_property
    def _image(self) -> Any:
        return as_seen(self.placed)


@dataclass(frozen=True)
class Shown:
    """One example for the eye."""

    example: Example
    text: Text
    pictures: tuple[ShownPicture, ...]

    def to_json(self) -> dict[str, Any]:
        """The same for programs; `text` has trained tokens between ⟦ ⟧."""
        return {
            "record": self.example.record,
            "tokens": len(self.example),
            "trained": int(self.example.trained.sum()),
            "picture_tokens": self.example.num_picture_tokens,
            "text": self.text.plain.partition("\n")[2].removesuffix("\n"),
            "pictures": [picture.to_json() for picture in self.pictures],
        }


def rendered_examples(run: RunContext, number: int, drawings: Path | None = None) -> Iterator[Shown]:
    """A fixed sample of the first stage's training examples, coloured; `drawings` is the folder for their pictures, by
    default a temporary one."""
    family = run.family
    task, stage = run.task, run.experiment.stages[0]
    folder = drawings
    names: set[str] = set()
    render = renderer(family, run.experiment.task, stage.loss_on)
    for record in fixed_sample(stage_records(run, stage), number, run.experiment.seed):
        conversation = task.conversation(record, run.shots)
        example = next(render([conversation]))
        name = re.sub(r"[^\w.-]+", "-", record.id).strip("-.")[-MOST_OF_A_NAME:]
        while name in names:
            name += "_"
        names.add(name)
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="tunesmith-show-")) if example.pictures else None
        pictures = tuple(
            ShownPicture(place, placed, boxes, (folder or Path()) / _drawing(name, place))
            for place, (placed, boxes) in enumerate(
                zip(example.pictures, boxes_of(conversation), strict=True), 1
            )
        )
        text = coloured(example, family)
        if task.head is not None:
            text.append(visible(f"the head learns: {conversation.answer}\n"), style=TRAINED)
        yield Shown(example, text, pictures)


def _drawing(name: str, place: int) -> str:
    return f"{name}{f'-{place}' if place > 1 else ''}.png"


def boxes_of(conversation: Conversation) -> list[tuple[Box, ...]]:
    """For each picture of a conversation, the boxes that are said to be in it: each list of boxes belongs to the last
    picture before it that it is about."""
    pieces = [piece for turn in conversation.turns for piece in turn.pieces]
    seen: list[tuple[Picture, tuple[Box, ...]]] = []
    for piece in (*pieces, *([conversation.boxes] if conversation.boxes else [])):
        if isinstance(piece, Picture):
            seen.append((piece, ()))
        elif isinstance(piece, Boxes):
            place = max(at for at, (picture, _) in enumerate(seen) if picture == piece.picture)
            seen[place] = (piece.picture, piece.boxes)
    return [boxes for _, boxes in seen]


def coloured(example: Example, family: Family) -> Text:
    """One example as text, each picture folded into one mark. Trained tokens also stand between ⟦ ⟧, so that they
    show without colours."""
    num_trained, of_pictures = int(example.trained.sum()), ""
    if example.pictures:
        of_pictures = f" ({example.num_picture_tokens} of {counted(len(example.pictures), 'picture')})"
    head = (
        f"{example.record}: {counted(len(example), 'token')}{of_pictures}, {num_trained} trained "
        f"({num_trained / len(example):.1%})\n"
    )
    text = Text(visible(head), style="bold")
    tokenizer = family.tokenizer
    # Many tokenizers name only the end of text as special; the other control tokens are those that were added.
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    before = False
    for run in runs(example, special):
        if run.trained != before:
            text.append("⟦" if run.trained else "⟧")
        before = run.trained
        if run.picture is not None:
            text.append(visible(folded(run.picture, example.pictures[run.picture])), style=FOLDED)
            continue
        style = f"{TRAINED if run.trained else SEEN}{f' {CONTROL}' if run.control else ''}"
        decoded = str(tokenizer.decode(run.tokens, clean_up_tokenization_spaces=False))
        text.append(visible(decoded), style=style)
    return text.append("⟧\n" if before else "\n")


def folded(index: int, placed: Placed) -> str:
    """What stands for a picture's tokens: `[picture 1: a.jpg, 640x480 seen as 644x476, 391 tokens]`."""
    picture = placed.picture
    # The name of a copy is the hash of its bytes.
    name = f"bytes {picture.sha256[:8]}" if picture.stored else picture.path
    sizes = f"{picture.width}x{picture.height} seen as {placed.width}x{placed.height}"
    return f"[picture {index + 1}: {name}, {sizes}, {placed.num_tokens} tokens]"


@dataclass(frozen=True)
class TokenRun:
    """Neighbouring tokens of the same kind."""

    tokens: list[int]
    trained: bool
    control: bool
    picture: int | None = None
    """Index of the picture that they all stand for."""


def runs(example: Example, special: set[int]) -> Iterator[TokenRun]:
    """All tokens of an example in runs."""
    owners: list[int | None] = [None] * len(example)
    for index, placed in enumerate(example.pictures):
        owners[placed.start : placed.start + placed.num_tokens] = [index] * placed.num_tokens
    run: list[int] = []
    kind: tuple[bool, bool, int | None] = (False, False, None)
    for token, trained, owner in zip(example.tokens.tolist(), example.trained.tolist(), owners, strict=True):
        if run and kind != (trained, token in special, owner):
            yield TokenRun(run, *kind)
            run = []
        kind = (trained, token in special, owner)
        run.append(token)
    yield TokenRun(run, *kind)
