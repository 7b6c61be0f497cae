"""Where pictures stand in a text: at the marks that other tools write, such as `<image>`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tunesmith.errors import counted

PLACE = "<image>"
"""Where a text shows a picture, as LLaMA-Factory, ms-swift and TRL write it."""
MARK = re.compile(r"<image(?:[ _-]?(\d+))?>", re.IGNORECASE)
"""The mark, also with the number of the picture, from 1, such as `<image1>` or `<image 2>`."""


def order_of_places(texts: Sequence[str], num_pictures: int) -> list[int] | None:
    """For each mark of the texts in order, the index of the picture that stands there; None without any mark.
    ValueError says why marks and pictures do not agree.

    >>> order_of_places(["<image2> or <image1>?"], 2)
    [1, 0]
    """
    numbers = [match[1] for text in texts for match in MARK.finditer(text)]
    if not numbers:
        return None
    places = [int(number) - 1 for number in numbers if number]
    if places and (len(places) < len(numbers) or sorted(places) != list(range(num_pictures))):
        raise ValueError(
            f"the marks for pictures have the numbers {', '.join(number or 'none' for number in numbers)}, but "
            f"task.pictures gives {num_pictures}. Name each picture once, from 1 on, or write {PLACE} without a number"
        )
    if len(numbers) != num_pictures:
        raise ValueError(
            f"have {counted(len(numbers), 'place')} for pictures ({PLACE}, or parts of type image), but "
            f"task.pictures gives {num_pictures}. Have one for each picture, or none at all: then all stand before "
            "the first text"
        )
    return places or list(range(num_pictures))


def between_places(text: str) -> list[str]:
    """The text cut at its marks.

    >>> between_places("a<image>b<IMAGE1>")
    ['a', 'b', '']
    """
    return MARK.split(text)[::2]
