"""All rendered examples of a stage, as a few flat arrays: a million short ones take well under a GiB."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from jaxtyping import Bool, Int

from tunesmith.batching.example import Example, Placed
from tunesmith.config.experiment import Length
from tunesmith.errors import DataError, counted
from tunesmith.images.picture import Picture
from tunesmith.model.families import Family
from tunesmith.records.conversation import Conversation
from tunesmith.tasks import Task


class Examples(Sequence[Example]):
    """A sequence of examples, stored end to end."""

    def __init__(self, examples: Iterable[Example]) -> None:
        self._records: list[str] = []
        self._classes: list[tuple[int, ...] | None] = []
        self._pictures: dict[int, tuple[Placed, ...]] = {}
        tokens, trained, lengths = [np.empty(0, np.int32)], [np.empty(0, bool)], []
        for example in examples:
            if example.pictures:
                self._pictures[len(self._records)] = example.pictures
            self._records.append(example.record)
            self._classes.append(example.classes)
            tokens.append(example.tokens)
            trained.append(example.trained)
            lengths.append(len(example))
        self._tokens = np.concatenate(tokens)
        self._trained = np.concatenate(trained)
        self._ends = np.cumsum([0, *lengths])

    def write(self, folder: Path) -> None:
        """Write all to files in a folder, from which `read` has them back."""
        for name, values in (("tokens", self._tokens), ("trained", self._trained), ("ends", self._ends)):
            # Into a file that is opened for writing alone numpy writes by itself, and its error for a full disk does
            # not say so; into this one Python writes.
            with (folder / f"{name}.npy").open("w+b") as file:
                np.save(file, values, allow_pickle=False)
        pictures = [[index, list(map(_placed_as_json, placed))] for index, placed in self._pictures.items()]
        others = {"records": self._records, "classes": self._classes, "pictures": pictures}
        (folder / "others.json").write_text(json.dumps(others))

    @staticmethod
    def read(folder: Path) -> Examples:
        """What `write` wrote; tokens stay on disk until they are asked for."""
        examples, others = Examples(()), json.loads((folder / "others.json").read_text())
        examples._records = others["records"]
        examples._classes = [None if classes is None else tuple(classes) for classes in others["classes"]]
        examples._pictures = {
            index: tuple(map(_placed_of_json, placed)) for index, placed in others["pictures"]
        }
        # Copy on write and not read-only, of which torch warns.
        examples._tokens, examples._trained = (
            np.load(folder / f"{name}.npy", mmap_mode="c") for name in ("tokens", "trained")
        )
        examples._ends = np.load(folder / "ends.npy")
        return examples

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        begin, end = self._ends[index], self._ends[index + 1]
        return Example(
            self._records[index],
            self._tokens[begin:end],
            self._trained[begin:end],
            self._classes[index],
            self._pictures.get(index, ()),
        )

    def length(self, index: int) -> int:
        """Tokens of one example, without touching them."""
        return int(self._ends[index + 1] - self._ends[index])

    @property
    def lengths(self) -> Int[np.ndarray, " example"]:
        """Tokens of every example."""
        return np.diff(self._ends)

    @property
    def picture_lengths(self) -> Int[np.ndarray, " example"]:
        """Tokens of every example that stand for pictures."""
        return np.array(
            [sum(one.num_tokens for one in self._pictures.get(index, ())) for index in range(len(self))], int
        )

    @property
    def num_picture_tokens(self) -> int:
        """Tokens of all examples that stand for pictures."""
        return sum(placed.num_tokens for placed in self.all_placed)

    @property
    def all_placed(self) -> Iterator[Placed]:
        """Every picture of every example."""
        return (placed for pictures in self._pictures.values() for placed in pictures)

    @property
    def classes(self) -> list[tuple[int, ...] | None]:
        """Class or classes of every example."""
        return self._classes

    @property
    def longest_answer(self) -> int:
        """Number of tokens of the longest answer: of an example's last run of trained tokens; 0 without examples."""
        return max((_last_run(example.trained) for example in self), default=0)

    @property
    def trained_share(self) -> float:
        """Share of all tokens that carry loss."""
        return float(self._trained.mean()) if len(self._trained) else 0.0


def _last_run(trained: Bool[np.ndarray, " token"]) -> int:
    """Length of the last run of trained tokens."""
    places = np.flatnonzero(trained)
    gaps = np.flatnonzero(np.diff(places) > 1)
    return len(places) - (int(gaps[-1]) + 1 if len(gaps) else 0)


def _placed_as_json(placed: Placed) -> dict[str, Any]:
    root = str(placed.picture.root.resolve())
    return {**vars(placed), "picture": {**placed.picture.to_json(), "root": root}}


def _placed_of_json(value: dict[str, Any]) -> Placed:
    picture = value["picture"]
    root = Path(picture.pop("root"))
    return Placed(**{**value, "picture": Picture.from_json(picture, root, root)})


Render = Callable[[Iterable[Conversation]], Iterator[Example]]


def renderer(family: Family, task: Task, trained: Literal["answer", "assistant", "all"]) -> Render:
    """What makes training examples of a task: the conversations with these tokens carrying loss; for a head the
    questions alone, of which none does."""
    if task.head is not None:
        return family.prompt_all
    return partial(family.render_all, trained=trained)


@dataclass(frozen=True, eq=False)
class Rendered:
    """The examples of a stage, and what was left out on request."""

    examples: Examples
    too_long: tuple[tuple[str, int], ...]
    """Record and number of tokens of each example over the limit."""


def render_examples(
    family: Family,
    conversations: Iterable[Conversation],
    render: Render,
    length: Length,
) -> Rendered:
    """All conversations as examples. One over the limit is refused (DataError lists them) or left out and counted, as
    `length.over` says; DataError too if no example is left."""
    limit = length.max_tokens or family.max_tokens
    too_long: list[tuple[str, int]] = []
    ways = ["Raise data.length.max_tokens"]

    def within() -> Iterator[Example]:
        for example in render(conversations):
            if len(example) <= limit:
                yield example
            else:
                too_long.append((example.record, len(example)))
                if example.pictures and len(ways) == 1:
                    ways.append(
                        "see pictures smaller (model.pixels.max; `tunesmith audit` says what that saves)"
                    )

    examples = Examples(within())
    if too_long and length.over == "refuse":
        named = "\n".join(f"  {record}: {size} tokens" for record, size in too_long[:20])
        raise DataError(
            f"longer than {limit} tokens: {len(too_long)} of {counted(len(too_long) + len(examples), 'example')}:\n"
            f"{named}\n{', '.join(ways)}, or set data.length.over: drop to leave them out (counted in the report)"
        )
    if not len(examples):
        raise DataError(
            f"no example is left to train on: all {len(too_long)} are longer than {limit} tokens"
            if too_long
            else "no record is left to train on; check `where` and the split"
        )
    return Rendered(examples, tuple(too_long))
