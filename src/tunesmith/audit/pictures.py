"""What pictures take of the examples' tokens, and what it would be if they were seen smaller.

Sizes decide it, which prepared data hold; no picture is opened.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from tunesmith.audit.percentiles import spread
from tunesmith.batching.example import Placed
from tunesmith.config.experiment import Pixels
from tunesmith.errors import counted
from tunesmith.images.picture import Picture
from tunesmith.runs.audit import PictureTokens, PixelBudget

if TYPE_CHECKING:
    from tunesmith.model.families._image_processor import ImageProcessorConfig

PARTS_OF_LARGEST = (2, 4)
"""Budgets that are tried: a half and a quarter of the tokens of the largest picture."""

Sizes = Mapping[tuple[int, int], int]
"""Number of pictures by width and height in pixels."""


def picture_lines(tokens: PictureTokens) -> Iterator[str]:
    """The share of image tokens, and the effect of each pixel budget, as text."""
    yield (
        f"pictures are {tokens.share:.1%} of all tokens ({counted(tokens.pictures, 'picture')}, "
        f"{tokens.per_example:.3g} an example); seen smaller they cost less, and show less:"
    )
    names = [" as they are", *(f" {budget.name}" for budget in tokens.budgets[1:])]
    for name, budget in zip(names, tokens.budgets, strict=True):
        saved = f", {budget.saved:.1%} saved" if budget is not tokens.budgets[0] else ""
        yield (
            f"{name:<{max(map(len, names))}}  {budget.largest:,} tokens a picture at most, "
            f"{budget.mean:,.0f} an example{saved}"
        )


def sizes_of(placed: Iterable[Placed]) -> Counter[tuple[int, int]]:
    """Widths and heights of pictures, counted."""
    return Counter((one.picture.width, one.picture.height) for one in placed)


def count_pictures(
    image_processor: ImageProcessorConfig | None,
    sizes: Sizes,
    image_tokens: Int[np.ndarray, " example"],
    lengths: Int[np.ndarray, " example"],
) -> PictureTokens | None:
    """What pictures of these sizes take of examples of these `lengths`, `image_tokens` being how many tokens of each
    example stand for pictures; None if there are none."""
    if image_processor is None or not sizes:
        return None
    total, pictures, examples = int(lengths.sum()), sum(sizes.values()), len(lengths)
    budgets = []
    for pixels in (image_processor.pixels, *_smaller(image_processor, sizes)):
        tokens = _tokens(image_processor, sizes, pixels)
        saved = int(image_tokens.sum()) - sum(tokens[size] * number for size, number in sizes.items())
        asked = pixels.model_dump(mode="json", exclude_none=True)
        budgets.append(PixelBudget(asked, max(tokens.values()), (total - saved) / examples, saved / total))
    return PictureTokens(
        pictures=pictures,
        per_example=pictures / examples,
        share=int(image_tokens.sum()) / total,
        budgets=tuple(budgets),
        **spread(image_tokens),
    )


def _smaller(image_processor: ImageProcessorConfig, sizes: Sizes) -> Iterator[Pixels]:
    """Settings by which no picture has more than a part of the tokens that the largest has now."""
    largest = max(_tokens(image_processor, sizes, image_processor.pixels).values())
    for part in PARTS_OF_LARGEST:
        if largest < part:
            return
        if image_processor.pixels.size is not None:
            width, height = image_processor.pixels.size
            # Rounded so that the longer side is not more times the shorter one than before, which has a limit.
            short = math.ceil(min(width, height) / math.sqrt(part))
            long = max(short, math.floor(max(width, height) / math.sqrt(part)))
            yield Pixels(size=(long, short) if width > height else (short, long))
        else:
            most = largest // part * (image_processor.patch_size * image_processor.merge_size) ** 2
            least = min(image_processor.pixels.min, most) if image_processor.pixels.min else None
            yield image_processor.pixels.model_copy(update={"max": most, "min": least})


def _tokens(
    image_processor: ImageProcessorConfig, sizes: Sizes, pixels: Pixels
) -> dict[tuple[int, int], int]:
    """Tokens of a picture of each size, by these settings."""
    seeing = replace(image_processor, pixels=pixels)
    return {
        (width, height): seeing.place("audit", Picture("", "", width, height, ""), 0).num_tokens
        for width, height in sizes
    }
