"""What is trained on: docstrings to go on with, docstrings to name the library of, coloured pictures to name.

Examples of one length stand together in fours, so that the reference needs neither padding nor packing to do four at
once. An update is four such groups of any length.
"""

from __future__ import annotations

import hashlib
import pickle
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.same_loss.settings import EXAMPLES, GROUP, SEED

from tunesmith.batching.example import Example
from tunesmith.errors import DataError
from tunesmith.records.conversation import Conversation, Text, Turn
from tunesmith.records.record import Record

PACKAGES = ["transformers", "torch", "sympy", "pandas", "numpy", "networkx"]
SHOWN = 8
"""Words of a text that the model is shown; it is trained to go on."""
COLOURS = {
    "red": (200, 40, 40), "green": (40, 170, 60), "blue": (40, 60, 200), "yellow": (220, 210, 60),
    "violet": (140, 50, 170), "white": (240, 240, 240), "black": (20, 20, 20), "grey": (128, 128, 128),
}  # fmt: skip
SIDE = 56


@dataclass(frozen=True)
class Material:
    """Examples in the order in which they are trained on, and others that are held out."""

    trained: list[Example]
    held_out: list[Example]
    num_classes: int = 0

    @staticmethod
    def read(folder: Path, kind: str) -> Material:
        """What `write` wrote."""
        return pickle.loads((folder / f"{kind}.pickle").read_bytes())  # type: ignore[no-any-return]

    def write(self, folder: Path, kind: str) -> None:
        """Put it into the folder."""
        (folder / f"{kind}.pickle").write_bytes(pickle.dumps(self))


def texts(small: bool) -> list[Record]:
    """First paragraphs of docstrings, by library."""
    from tunesmith.records.demo_sources.docstrings import Docstrings

    packages, most, words = (["numpy", "pandas", "networkx"], 150, 30) if small else (PACKAGES, 900, 110)
    source = Docstrings(packages=packages, per_package=most, min_words=12 if small else 20, max_words=words)
    return [found for found in source.rows(Path()) if isinstance(found, Record)]


def answers(family: Any, records: Iterable[Record], longest: int) -> tuple[list[Example], int]:
    """The beginning of each text as the question, the rest as the answer that is trained; no classes."""
    found = []
    for record in records:
        words = record.fields["text"].split()
        asked = Turn.of("user", "Go on: " + " ".join(words[:SHOWN]))
        # A text that holds a model's own marks is refused.
        with suppress(DataError):
            found.append(family.render(Conversation(record.id, (asked,), " ".join(words[SHOWN:]))))
    return [one for one in found if len(one) <= longest], 0


def classes(family: Any, records: Iterable[Record], longest: int) -> tuple[list[Example], int]:
    """Each text as a question whose answer is a class, and how many classes there are."""
    records = list(records)
    labels = sorted({record.fields["library"] for record in records})
    found = []
    for record in records:
        label = labels.index(record.fields["library"])
        asked = Turn.of("user", f"From which library is this? {record.fields['text']}")
        with suppress(DataError):
            found.append(family.prompt(Conversation(record.id, (asked,), labels[label], label)))
    return [one for one in found if len(one) <= longest], len(labels)


def colours(family: Any, folder: Path, number: int) -> list[Example]:
    """Noisy pictures of one colour each; the answer is its name."""
    import numpy as np
    from PIL import Image

    from tunesmith.images.picture import Picture

    random, found = np.random.default_rng(SEED), []
    for index in range(number):
        name = list(COLOURS)[index % len(COLOURS)]
        pixels = np.array(COLOURS[name]) + random.normal(0, 25, (SIDE, SIDE, 3))
        file = folder / f"{index}.png"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file)
        picture = Picture(
            file.name, hashlib.sha256(file.read_bytes()).hexdigest(), SIDE, SIDE, "", root=folder
        )
        asked = Turn("user", (picture, Text("Which colour?")))
        found.append(family.render(Conversation(file.name, (asked,), f"The picture is {name}.")))
    return found


def arranged(examples: Iterable[Example], steps: int, held_out: int, num_classes: int = 0) -> Material:
    """As many groups of one length as `steps` updates need, in an order by chance, after those that are held out. Where
    there are too few they come again, in another order."""
    random, by_length = Random(SEED), defaultdict(list)
    for example in examples:
        by_length[len(example)].append(example)
    groups = []
    for length in sorted(by_length):
        alike = by_length[length]
        random.shuffle(alike)
        groups += [alike[at : at + GROUP] for at in range(0, len(alike) - GROUP + 1, GROUP)]
    random.shuffle(groups)
    held, rest = groups[: held_out // GROUP], groups[held_out // GROUP :]
    per_update = EXAMPLES // GROUP
    if len(rest) < per_update:
        raise SystemExit(f"too few examples of equal length: {len(rest)} groups of {GROUP}")
    order: list[list[Example]] = []
    while len(order) < steps * per_update:
        order += random.sample(rest, len(rest))
    trained = [one for group in order[: steps * per_update] for one in group]
    return Material(trained, [one for group in held for one in group], num_classes)
