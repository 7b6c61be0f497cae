"""How boxes stand in text, as families of models were trained on them: written into answers, and read from them.

A family calls these with its own `space`: the width and height in which its models count, such as 1000 x 1000
or the size of the picture after it was resized. Corners are whole numbers in it, left, top, right, bottom.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from tunesmith.data.boxes import Box, Corners

NOTHING = "None"
"""What stands for no box at all among special tokens; in JSON it is the empty list."""

_BOX_KEYS = ("bbox_2d", "bbox", "box_2d", "box", "bounding_box")
_LABEL_KEYS = ("label", "name", "category", "class", "object")

_NUMBER = r"\s*-?\d+(?:\.\d+)?\s*"
_PAIR = rf"\(({_NUMBER}),({_NUMBER})\)\s*,?\s*\(({_NUMBER}),({_NUMBER})\)"
_TOKENS = re.compile(rf"<\|box_start\|>\s*{_PAIR}")
_PAIRS = re.compile(_PAIR)
_LISTS = re.compile(rf"\[({_NUMBER}),({_NUMBER}),({_NUMBER}),({_NUMBER}),?\s*\]")
_CONTROL = re.compile(r"<\|\w+\|>")
_STRING = r"""(?:"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+')"""
_OBJECT = re.compile(rf"""\{{(?:[^{{}}"']|{_STRING})*+\}}""", re.DOTALL)
_KEYED_LIST = re.compile(rf"""["']?({"|".join(_BOX_KEYS)})["']?\s*:\s*([\[(][^{{}}:]*[\])])""")
_KEYED_LABEL = re.compile(rf"""["']?({"|".join(_LABEL_KEYS)})["']?\s*:\s*({_STRING})""", re.DOTALL)
_EMPTY_LIST = re.compile(r"(?:```\w*)?\s*\[\s*\]\s*(?:```)?")
_NOTHING = re.compile(r"(there\s+(is|are)\s+)?(no\s|none\b|nothing\b)[^.!?\n]*[.!]?", re.IGNORECASE)


def write_tokens(boxes: Sequence[Box], space: tuple[int, int]) -> str:
    """The boxes among special tokens, one after the other; `None` if there are none.

    >>> write_tokens([Box("cat", (0.1, 0.2, 0.5, 1.0))], (1000, 1000))
    '<|object_ref_start|>cat<|object_ref_end|><|box_start|>(100,200),(500,1000)<|box_end|>'
    """
    written = (
        f"<|object_ref_start|>{box.label}<|object_ref_end|>"
        f"<|box_start|>({left},{top}),({right},{bottom})<|box_end|>"
        for box in boxes
        for left, top, right, bottom in [in_space(box.corners, space)]
    )
    return "".join(written) or NOTHING


def write_json(boxes: Sequence[Box], space: tuple[int, int]) -> str:
    """The boxes as a JSON list; `[]` if there are none.

    >>> write_json([Box("cat", (0.1, 0.2, 0.5, 1.0))], (640, 480))
    '[{"bbox_2d": [64, 96, 320, 480], "label": "cat"}]'
    """
    listed = [{"bbox_2d": list(in_space(box.corners, space)), "label": box.label} for box in boxes]
    return json.dumps(listed, ensure_ascii=False)


def in_space(corners: Corners, space: tuple[int, int]) -> tuple[int, int, int, int]:
    """The nearest whole numbers, within the space. A side of less than one unit becomes one unit long, for a box
    without area says nothing.

    >>> in_space((0.1, 0.5, 0.10001, 1.2), (1000, 28))
    (100, 14, 101, 28)
    """
    left, right = _side(corners[0], corners[2], space[0])
    top, bottom = _side(corners[1], corners[3], space[1])
    return left, top, right, bottom


def _side(low: float, high: float, length: int) -> tuple[int, int]:
    first, last = (min(max(math.floor(share * length + 0.5), 0), length) for share in (low, high))
    if first < last:
        return first, last
    first = min(max(math.floor(low * length), 0), length - 1)
    return first, first + 1


def read(text: str, space: tuple[int, int], labels: Sequence[str]) -> tuple[Box, ...]:
    """The boxes that a text names, in their order, as shares of the picture; none if it says that there are none.

    Read are special tokens, also where they were dropped (`cat(12,30),(400,500)`), JSON objects with slips that
    leave no doubt, and bare lists of four numbers, with other words around them. Of a text that was cut, the boxes
    before the cut are read. Swapped corners are put in order, corners outside the space on its edge; a box without
    area in the space is left out. `labels` are those that were asked for: a box without a label has the only one
    of them, or else an empty one, and a label that differs from one of them only in case is that one. ValueError
    says why nothing can be read.

    >>> read('```json\\n[{"bbox_2d": [64, 96, 320, 480]}, {"bbox_2d": [1,', (640, 480), ["cat"])
    (Box(label='cat', corners=(0.1, 0.2, 0.5, 1.0)),)
    >>> read("There is no cat.", (640, 480), ["cat"])
    ()
    """
    if not text.strip():
        raise ValueError("is empty")
    found = list(_named(text, labels))
    boxes = [
        Box(_label(label, labels), corners)
        for label, numbers in found
        for corners in [_corners(numbers, space)]
        if corners is not None
    ]
    if found and not boxes:
        raise ValueError("names only boxes without area in the picture")
    if not boxes and not _says_nothing(text):
        raise ValueError("names no box")
    return tuple(boxes)


_Found = tuple[str, Sequence[float]]
"""A label as it stands, and four numbers."""


def _named(text: str, labels: Sequence[str]) -> Iterator[_Found]:
    """Labels and numbers in the first of the forms in which there are any."""
    if "<|box_start|>" in text:
        return _among_tokens(text, _TOKENS, labels)
    objects = [one for match in _OBJECT.finditer(text) for one in _of_object(match[0])]
    if objects:
        return iter(objects)
    if _PAIRS.search(text):
        return _among_tokens(text, _PAIRS, labels)
    # Inside an object that was cut, four numbers are half of what it would have said.
    lists = () if "{" in text else _LISTS.finditer(text)
    return (("", [float(number) for number in match.groups()]) for match in lists)


def _among_tokens(text: str, form: re.Pattern[str], labels: Sequence[str]) -> Iterator[_Found]:
    """A label stands before its boxes."""
    label, end = "", 0
    for match in form.finditer(text):
        before = text[end : match.start()]
        opened, closing, _ = before.rpartition("<|object_ref_end|>")
        said = opened.rpartition("<|object_ref_start|>")[2] if closing else _last_words(before, labels)
        label = said or label
        yield label, [float(number) for number in match.groups()]
        end = match.end()


def _last_words(text: str, labels: Sequence[str]) -> str:
    """What of a text names the box behind it: the last of the labels in it, or else its last line."""
    words = _CONTROL.sub("", text).strip(" \t\r\n,;:.`[]")
    ends = {
        match.span()[::-1]: label
        for label in labels
        for match in re.finditer(rf"(?<!\w){re.escape(label)}(?!\w)", words, re.IGNORECASE)
    }
    # Of two that end at the same place, the longer one begins first.
    return (
        ends[max(ends, key=lambda span: (span[0], -span[1]))] if ends else words.rpartition("\n")[2].strip()
    )


def _of_object(text: str) -> Iterator[_Found]:
    """The label of a JSON object with each of its boxes, of which there is mostly one."""
    try:
        values = json.loads(text)
        boxes = next((values[key] for key in _BOX_KEYS if key in values), None)
        label = next((values[key] for key in _LABEL_KEYS if isinstance(values.get(key), str)), "")
    except (ValueError, RecursionError):
        boxes, label = _of_faulty_object(text)
    numbers = list(_numbers(boxes))
    if len(numbers) % 4 == 0:
        yield from ((label, numbers[start : start + 4]) for start in range(0, len(numbers), 4))


def _of_faulty_object(text: str) -> tuple[list[float], str]:
    """Numbers and label of an object in single quotes, with commas too many, or with keys without quotes."""
    listed, label = _KEYED_LIST.search(text), _KEYED_LABEL.search(text)
    numbers = re.findall(r"-?\d+(?:\.\d+)?", listed[2]) if listed else []
    return [float(number) for number in numbers], re.sub(r"\\(.)", r"\1", label[2][1:-1]) if label else ""


def _numbers(value: Any) -> Iterator[float]:
    """The numbers in a list or in lists within it."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += reversed(one)
        elif isinstance(one, int | float) and not isinstance(one, bool):
            yield one


def _corners(numbers: Sequence[float], space: tuple[int, int]) -> Corners | None:
    """Shares of the picture, or None for a box without area in it."""
    if any(number != number for number in numbers):
        return None
    width, height = space
    left, right = sorted(min(max(number, 0), width) / width for number in numbers[::2])
    top, bottom = sorted(min(max(number, 0), height) / height for number in numbers[1::2])
    return (left, top, right, bottom) if left < right and top < bottom else None


def _label(said: str, labels: Sequence[str]) -> str:
    said = said.strip()
    if not said:
        return labels[0] if len(labels) == 1 else ""
    return next((label for label in labels if label.casefold() == said.casefold()), said)


def _says_nothing(text: str) -> bool:
    bare = text.strip().strip("\"'*` ")
    return bool(_EMPTY_LIST.fullmatch(text.strip()) or _NOTHING.fullmatch(bare))
