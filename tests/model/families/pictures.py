"""Pictures on disk, and conversations about them, for every family that sees."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from tunesmith.batching.example import Example
from tunesmith.config.experiment import Model
from tunesmith.images.picture import Picture
from tunesmith.model.load import load
from tunesmith.model.loaded import LoadedModel
from tunesmith.records.conversation import Conversation, Text, Turn

FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
SIZES = ((130, 90), (60, 200), (224, 224))
"""Width and height in pixels."""


def picture(folder: Path, width: int, height: int, seed: int = 0) -> Picture:
    """A file of noise, and what prepared data says of it."""
    name = f"{width}x{height}-{seed}.png"
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / name)
    sha256 = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return Picture(name, sha256, width, height, "0" * 16, root=folder)


def conversations(folder: Path) -> list[Conversation]:
    """Pictures of several sizes, two in one conversation, one in an earlier turn, and one without any."""
    wide, tall, square = (picture(folder, *size) for size in SIZES)
    return [
        Conversation("p:1", (Turn("user", (wide, Text("What is it?"))),), "noise"),
        Conversation("p:2", (Turn("user", (Text("First "), tall, Text(" then "), square, Text("?"))),), "both"),
        Conversation("p:3", (Turn.of("system", "Be brief."), Turn.of("user", "What is 2 + 2?")), "Four."),
        Conversation(
            "p:4",
            (
                Turn("user", (square, Text("And here?"))),
                Turn.of("assistant", "A square."),
                Turn.of("user", "Sure?"),
            ),
            "Yes",
        ),
    ]  # fmt: skip


def seeing(folder: Path) -> LoadedModel:
    """The model in a folder, in fp32 on the CPU."""
    return load(Model(path=str(folder), weights="fp32", device="cpu"))


def rendered(loaded: LoadedModel, asked: list[Conversation]) -> list[Example]:
    """Each conversation as an example."""
    return [loaded.family.render(one) for one in asked]
