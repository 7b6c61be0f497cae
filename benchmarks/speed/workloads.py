"""What is trained on: token ids drawn from a seed, the same for every engine, and as many in every update."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

TOKEN_SIDE = 28
"""Pixels of a picture's side that one token stands for."""


@dataclass(frozen=True)
class Workload:
    """One kind of training data."""

    name: str
    samples: int
    """In one update."""
    text_tokens: int
    """Of all samples of an update together, without those of pictures."""
    shortest: int
    longest: int
    """Text tokens of a sample."""
    trained: int = 10
    """Last tokens of a sample, which carry loss."""
    side: int = 0
    """Pixels of the picture's side; 0 is no picture."""
    questions: int = 1
    """Samples in a row that show the same picture."""
    different: int = 64
    """Updates until the data begin again."""
    warmup: int = 0
    """Updates, at least, before those that are timed: where lengths vary so much that kernels are chosen anew for most
    of them."""

    @property
    def sees(self) -> bool:
        """True if samples have a picture."""
        return self.side > 0

    @property
    def placeholders(self) -> int:
        """Tokens that stand for the picture."""
        return round(self.side / TOKEN_SIDE) ** 2

    @property
    def patches(self) -> int:
        """Patches of 14 pixels in the pictures of an update."""
        return 4 * self.placeholders * self.samples

    @property
    def tokens(self) -> int:
        """Real tokens of an update; a picture adds its placeholders, and the marks of its beginning and end."""
        return self.text_tokens + self.samples * (self.placeholders + 2 if self.sees else 0)


WORKLOADS = {
    one.name: one
    for one in (
        Workload("short-text", 72, 8192, 24, 400),
        Workload("short-text-16k", 144, 16384, 24, 400),
        Workload("long-text", 6, 16384, 512, 8192, trained=100, warmup=12),
        Workload("one-picture", 16, 16 * 51, 51, 51, side=512, different=2),
        Workload("many-questions", 24, 24 * 51, 51, 51, side=512, questions=6, different=2),
    )
}


def of(name: str, small: bool) -> Workload:
    """The workload, or one of the same kind for a toy."""
    whole = WORKLOADS[name]
    if not small:
        return whole
    if whole.sees:
        samples = 2 * whole.questions if whole.questions > 1 else 4
        return replace(whole, samples=samples, text_tokens=20 * samples, shortest=20, longest=20, side=84)
    samples = 4 if name == "long-text" else 8
    return replace(
        whole, samples=samples, text_tokens=samples * 40, shortest=16, longest=120, trained=10, warmup=0
    )


@dataclass(frozen=True, eq=False)
class Sample:
    """One training example."""

    tokens: np.ndarray
    trained: np.ndarray
    """True where the token carries loss."""
    picture: int | None = None
    """Number of the picture."""
    of_class: int = 0
    """For a classification head."""


def update(work: Workload, number: int, config: Any) -> list[Sample]:
    """The samples of one update."""
    number %= work.different
    random = np.random.default_rng([17, number])
    # Real vocabularies are drawn from beyond the control tokens of the small tokenizer that stands beside the model.
    words = (10, 1000) if config.get_text_config().vocab_size < 10_000 else (2_000, 150_000)
    samples = []
    for place, length in enumerate(_lengths(work, random)):
        tokens = random.integers(*words, length).astype(np.int32)
        picture = None
        if work.sees:
            picture = (number * work.samples + place) // work.questions
            tokens[0] = words[0]  # Questions about one picture begin alike, as chats do.
            marks = [config.vision_start_token_id], [config.vision_end_token_id]
            shown = np.full(work.placeholders, config.image_token_id)
            tokens = np.concatenate([tokens[:1], marks[0], shown, marks[1], tokens[1:]]).astype(np.int32)
        trained = np.zeros(len(tokens), bool)
        trained[-work.trained :] = True
        samples.append(Sample(tokens, trained, picture, int(random.integers(30))))
    return samples


def _lengths(work: Workload, random: np.random.Generator) -> list[int]:
    """Text tokens of each sample: spread over the range as texts are, and always the same number in all."""
    spread = np.log([work.shortest, work.longest])
    if work.longest > 1000:
        drawn = np.exp(random.uniform(*spread, work.samples))
    else:
        drawn = random.lognormal(0.0, 0.5, work.samples)
    lengths = np.clip(np.round(drawn * work.text_tokens / drawn.sum()), work.shortest, work.longest).astype(
        int
    )
    while missing := work.text_tokens - int(lengths.sum()):
        step = 1 if missing > 0 else -1
        room = (lengths + step >= work.shortest) & (lengths + step <= work.longest)
        chosen = random.permutation(np.flatnonzero(room))[: abs(missing)]
        lengths[chosen] += step
    return [int(length) for length in lengths]


def write_pictures(folder: Path, work: Workload) -> None:
    """Put all pictures of a workload into a folder as JPEG files with something in them."""
    from PIL import Image

    for number in range(work.different * work.samples // work.questions):
        random = np.random.default_rng(number)
        coarse = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((work.side, work.side), Image.Resampling.BICUBIC)
        picture.save(picture_file(folder, number), quality=90)


def picture_file(folder: Path, number: int) -> Path:
    """Where a picture lies."""
    return folder / f"{number}.jpg"
