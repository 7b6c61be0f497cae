"""What pictures take of the examples' tokens, and what it would be if they were seen smaller.

Sizes decide it, which prepared data hold; no picture is opened.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int

from tunesmith.audit.percentiles import spread
from tunesmith.batching.example import Placed
from tunesmith.config.experiment import Pixels
from tunesmith.errors import counted
from tunesmith.images.picture import Picture

if TYPE_CHECKING:
    from tunesmith.model.families._sight import Sight

PARTS_OF_LARGEST = (2, 4)
"""Budgets that are tried: a half and a quarter of the tokens of the largest picture."""

Sizes = Mapping[tuple[int, int], int]
"""Number of pictures by width and height in pixels."""


@dataclass(frozen=True)
class Budget:
    """One way to say how large pictures are seen, and what the examples take then."""

    pixels: Mapping[str, Any]
    """Of `model.pixels`."""
    largest: int
    """Tokens of the largest picture."""
    mean: float
    """Tokens of an example, with its text as it is now. (Where boxes are written in pixels of the picture as it is
    seen, smaller numbers save a little more.)"""
    saved: float
    """Share of all tokens that are not there any more."""

    @property
    def name(self) -> str:
        """`model.pixels.max: 153664`."""
        if set(self.pixels) == {"max"}:
            return f"model.pixels.max: {self.pixels['max']}"
        listed = ", ".join(f"{name}: {value}" for name, value in self.pixels.items())
        return f"model.pixels: {{{listed}}}"


@dataclass(frozen=True)
class PictureTokens:
    """Tokens of pictures, apart from those of text."""

    pictures: int
    per_example: float
    """Pictures of an example, in the mean."""
    lengths: Mapping[str, float]
    """Tokens of an example's pictures: min, mean, p50, p90, p95, p99 and max over all examples."""
    text: Mapping[str, float]
    """All other tokens of an example, likewise."""
    share: float
    """Of all tokens, which pictures take."""
    budgets: tuple[Budget, ...]
    """What the experiment says now, and smaller ones."""

    def to_json(self) -> dict[str, Any]:
        """The form of `audit.json` (docs/run-folder.md)."""
        budgets = [{**vars(budget), "pixels": dict(budget.pixels)} for budget in self.budgets]
        known = {"pictures": self.pictures, "per_example": self.per_example, "share": self.share}
        return {**self.lengths, **known, "budgets": budgets}

    def lines(self) -> Iterator[str]:
        """As text: their share, and what each budget comes to."""
        yield (
            f"pictures are {self.share:.1%} of all tokens ({counted(self.pictures, 'picture')}, {self.per_example:.3g} "
            "an example); seen smaller they cost less, and show less:"
        )
        names = [" as they are", *(f" {budget.name}" for budget in self.budgets[1:])]
        for name, budget in zip(names, self.budgets, strict=True):
            saved = f", {budget.saved:.1%} saved" if budget is not self.budgets[0] else ""
            yield (
                f"{name:<{max(map(len, names))}}  {budget.largest:,} tokens a picture at most, "
                f"{budget.mean:,.0f} an example{saved}"
            )


def sizes_of(placed: Iterable[Placed]) -> Counter[tuple[int, int]]:
    """Widths and heights of pictures, counted."""
    return Counter((one.picture.width, one.picture.height) for one in placed)


def count_pictures(
    sight: Sight | None,
    sizes: Sizes,
    of_pictures: Int[np.ndarray, " example"],
    lengths: Int[np.ndarray, " example"],
) -> PictureTokens | None:
    """What pictures of these sizes take of examples of these `lengths`, `of_pictures` being how many tokens of each
    example stand for pictures; None if there are none."""
    if sight is None or not sizes:
        return None
    total, pictures, examples = int(lengths.sum()), sum(sizes.values()), len(lengths)
    budgets = []
    for pixels in (sight.pixels, *_smaller(sight, sizes)):
        tokens = _tokens(sight, sizes, pixels)
        saved = int(of_pictures.sum()) - sum(tokens[size] * number for size, number in sizes.items())
        asked = pixels.model_dump(mode="json", exclude_none=True)
        budgets.append(Budget(asked, max(tokens.values()), (total - saved) / examples, saved / total))
    return PictureTokens(
        pictures=pictures,
        per_example=pictures / examples,
        lengths=spread(of_pictures),
        text=spread(lengths - of_pictures),
        share=int(of_pictures.sum()) / total,
        budgets=tuple(budgets),
    )


def _smaller(sight: Sight, sizes: Sizes) -> Iterator[Pixels]:
    """Settings by which no picture has more than a part of the tokens that the largest has now."""
    largest = max(_tokens(sight, sizes, sight.pixels).values())
    for part in PARTS_OF_LARGEST:
        if largest < part:
            return
        if sight.pixels.size is not None:
            width, height = sight.pixels.size
            # Rounded so that the longer side is not more times the shorter one than before, which has a limit.
            short = math.ceil(min(width, height) / math.sqrt(part))
            long = max(short, math.floor(max(width, height) / math.sqrt(part)))
            yield Pixels(size=(long, short) if width > height else (short, long))
        else:
            most = largest // part * (sight.patch_size * sight.merge_size) ** 2
            least = min(sight.pixels.min, most) if sight.pixels.min else None
            yield sight.pixels.model_copy(update={"max": most, "min": least})


def _tokens(sight: Sight, sizes: Sizes, pixels: Pixels) -> dict[tuple[int, int], int]:
    """Tokens of a picture of each size, by these settings."""
    seeing = replace(sight, pixels=pixels)
    return {
        (width, height): seeing.place("audit", Picture("", "", width, height, ""), 0).num_tokens
        for width, height in sizes
    }
