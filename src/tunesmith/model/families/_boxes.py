"""Boxes in text: how model families write them into answers, and how they are read.

A family calls these with its own `space`: the width and height in which its models count, such as 1000 x 1000
or the size of the picture after it was resized. Corners are whole numbers in it, left, top, right, bottom.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tunesmith.images.boxes import Box, Corners

NOTHING = "None"
"""What stands for no box at all among special tokens; in JSON it is the empty list."""

_BOX_KEYS = ("bbox_2d", "bbox", "box_2d", "box", "bounding_box")
_LABEL_KEYS = ("label", "name", "category", "class", "object")
_CORNER_KEYS = (
    ("x1", "y1", "x2", "y2"), ("x0", "y0", "x1", "y1"), ("xmin", "ymin", "xmax", "ymax"),
    ("left", "top", "right", "bottom"), ("left", "top", "width", "height"),
)  # fmt: skip
"""Names of four numbers that say themselves what they are; `x`, `y`, `w`, `h` can count from the centre."""

_NUMBER = r"\s*-?\d+(?:\.\d+)?\s*"
_PAIR = rf"\(({_NUMBER}),({_NUMBER})\)\s*,?\s*\(({_NUMBER}),({_NUMBER})\)"
_FOUR = rf"({_NUMBER}),({_NUMBER}),({_NUMBER}),({_NUMBER})"
_TOKENS = re.compile(rf"<\|box_start\|>\s*{_PAIR}")
_PAIRS = re.compile(_PAIR)
_LISTS = re.compile(rf"\[{_FOUR},?\s*\]")
_BARE = re.compile(rf"(?:<box>|[(\[])?\s*{_FOUR.replace(',', '[, ]')}(?:</box>|[)\]])?\.?")
_TAGS = re.compile(rf"<box>{_FOUR.replace(',', '[, ]')}</box>")
_ASSIGNED = re.compile(
    rf"\bx1\s*[=:]({_NUMBER})[,;]?\s*y1\s*[=:]({_NUMBER})[,;]?\s*x2\s*[=:]({_NUMBER})[,;]?\s*y2\s*[=:]({_NUMBER})",
    re.IGNORECASE,
)
_CONTROL = re.compile(r"<\|\w+\|>")
_STRING = r"""(?:"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+')"""
_OBJECT = re.compile(rf"""\{{(?:[^{{}}"']|{_STRING})*+\}}""", re.DOTALL)
_KEYED_LIST = re.compile(rf"""["']?({"|".join(_BOX_KEYS)})["']?\s*:\s*([\[(][^{{}}:]*[\])])""")
_KEYED_LABEL = re.compile(rf"""["']?({"|".join(_LABEL_KEYS)})["']?\s*:\s*({_STRING})""", re.DOTALL)
_KEYED_NUMBER = re.compile(rf"""["']?(\w+)["']?\s*:\s*["']?({_NUMBER})["']?""")
_EMPTY_LIST = re.compile(r"""(?:```\w*)?\s*(?:\[\s*\]|\{\s*["']\w+["']\s*:\s*\[\s*\]\s*\})\s*(?:```)?""")
_UNFINISHED = re.compile(r"\(\s*-?\d[^()]*$|\(" + _NUMBER + "," + _NUMBER + r"\)\s*,?\s*(?:\([^()]*)?$")
_DENIED = re.compile(r"(?:\b(?:no|not|never|without)\b|n't\b)(?!\s*[,.:;])[^,.;:\n]*$", re.IGNORECASE)

# What says that nothing of the kind is there, with THING for what was asked about.
_THINGS = (
    r"(?:(?:such\s+)?(?:objects?|things?|(?:bounding\s+)?box(?:es)?|instances?|matches|detections?|targets?))"
)
_PLACE = (
    r"(?:\s+(?:anywhere|here))?(?:\s+(?:in|on|within)\s+(?:the|this|that)\s+(?:given\s+|provided\s+)?"
    r"(?:image|picture|photo|photograph|scene))?"
)
_SEEN = (
    r"(?:\s+(?:was|were|is|are|has\s+been|have\s+been))?"
    r"(?:\s+(?:found|detected|visible|present|shown|seen|located))?"
)
_DENIALS = (
    r"(?:none|nothing|null|n/a|没有|沒有|无|無|なし|없음)(?:\s+(?:was\s+)?(?:found|detected|visible))?"
    + _PLACE,
    rf"(?:there\s+(?:is|are)\s+|i\s+(?:can\s+)?(?:see|find)\s+)?no\s+THING{_SEEN}{_PLACE}",
    rf"(?:there\s+is|i\s+(?:can\s+)?(?:see|find))\s+nothing{_PLACE}",
    rf"there\s+(?:is|are)(?:\s+not|n't)\s+(?:(?:a|an|any|the)\s+)?THING{_SEEN}{_PLACE}",
    r"i\s+(?:do\s+not|don't|did\s+not|didn't|cannot|can\s+not|can't|could\s+not|couldn't)\s+"
    rf"(?:see|find|detect|locate|identify|spot)\s+(?:(?:a|an|any|the)\s+)?THING{_PLACE}",
    r"(?:the|this)\s+(?:image|picture|photo|scene)\s+(?:does\s+not|doesn't)\s+(?:contain|show|have|include|depict)\s+"
    r"(?:(?:a|an|any|the)\s+)?THING",
    rf"(?:(?:the|any)\s+)?THING\s+(?:is|are)(?:\s+not|n't)\s+(?:found|detected|visible|present|shown|seen)?{_PLACE}",
    r"(?:es\s+gibt\s+|il\s+n'y\s+a\s+|hay\s+|er\s+is\s+)?(?:kein(?:e|en)?|pas\s+d(?:e|')|aucune?|no\s+hay(?:\s+ningún)?|"
    r"ning[uú]n[oa]?|nessun[oa]?|nenhum[a]?|geen|нет)\s*THING(?:\s+(?:im\s+bild|dans\s+l'image|en\s+la\s+imagen))?",
    r"(?:(?:这张|這張|该)?(?:图片|图像|圖片|照片|画面|图)(?:中|里|上)?)?(?:没有|沒有|未发现|未检测到|不存在|无)(?:任何)?(?:THING|目标|物体)",
    r"(?:这张|這張|该)?(?:图片|图像|圖片|照片|画面|图)(?:中|里|上)?(?:没有|沒有|未发现|未检测到|不存在)(?:任何)?[^\s，,。]{1,6}",
)


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
    leave no doubt (single quotes, a last bracket that is missing, `x1` to `y2` as keys), and four numbers in brackets,
    with other words around them. Swapped corners are put in order, corners outside the space on its edge; a box without
    area in the space is left out. `labels` are those that were asked for: a box without a label has the only one
    of them, or else an empty one, and a label that differs from one of them only in case is that one. ValueError
    says why nothing can be read: also if one of the boxes is unfinished or in doubt, or the numbers are fractions.

    >>> read('```json\\n[{"bbox_2d": [64, 96, 320, 480]}', (640, 480), ["cat"])
    (Box(label='cat', corners=(0.1, 0.2, 0.5, 1.0)),)
    >>> read("There is no cat.", (640, 480), ["cat"])
    ()
    """
    if not text.strip():
        raise ValueError("is empty")
    if _NESTED in text:
        raise ValueError("names no box")
    named = list(_named(text, labels))
    if any(_is_fraction(numbers) for _, numbers in named) and min(space) > 1:
        raise ValueError("names fractions, where other units are asked for")
    boxes = [
        Box(_label(label, labels), corners)
        for label, numbers in named
        for corners in [_corners(numbers, space)]
        if corners is not None
    ]
    if named and not boxes:
        raise ValueError("names only boxes without area in the picture")
    if not boxes and not says_nothing(text, labels):
        raise ValueError("names no box")
    return tuple(boxes)


def _is_fraction(numbers: Sequence[float]) -> bool:
    """Whether four numbers can only be shares of the picture: at most 1 and not all integers."""
    return all(0 <= number <= 1 for number in numbers) and any(
        isinstance(number, float) for number in numbers
    )


_Found = tuple[str, Sequence[float]]
"""A label as it stands, and four numbers."""


def _named(text: str, labels: Sequence[str]) -> Iterator[_Found]:
    """Labels and numbers in the first of the forms in which there are any."""
    if "<|box_start|>" in text:
        return _among_tokens(text, _TOKENS, labels)
    if "{" in text:
        objects = list(_of_objects(text))
        if objects or not _PAIRS.search(text):
            return iter(objects)
    if _PAIRS.search(text):
        return _among_tokens(text, _PAIRS, labels)
    if "{" not in text:
        for form in (_LISTS, _TAGS, _ASSIGNED):
            if form.search(text):
                return _among_words(text, form, labels)
        bare = _BARE.fullmatch(text.strip())
        if bare:
            return iter([("", _as_numbers(bare.groups()))])
    return iter(())


def _as_numbers(texts: Iterable[str]) -> list[float]:
    """The numbers, whole ones as int."""
    return [float(text) if "." in text else int(text[:400]) for text in map(str.strip, texts)]


def _among_tokens(text: str, form: re.Pattern[str], labels: Sequence[str]) -> Iterator[_Found]:
    """A label stands before its boxes."""
    label, end = "", 0
    for match in form.finditer(text):
        before = text[end : match.start()]
        opened, closing, _ = before.rpartition("<|object_ref_end|>")
        said = opened.rpartition("<|object_ref_start|>")[2] if closing else _last_words(before, labels)
        label = said or label
        yield label, _as_numbers(match.groups())
        end = match.end()
    if _UNFINISHED.search(text[end:]):
        raise ValueError("ends inside a box")


def _among_words(text: str, form: re.Pattern[str], labels: Sequence[str]) -> Iterator[_Found]:
    """The label of a box is the one that is named before it."""
    end = 0
    for match in form.finditer(text):
        before = text[end : match.start()]
        if labels and (_DENIED.search(before) or says_nothing(before, labels)):
            raise ValueError("says what is not at a box")
        clause = re.split(r"[,.;\n]", before.rstrip(" ,.;:\n"))[-1]
        named = [
            label for label in labels if re.search(rf"(?<!\w){re.escape(label)}(?!\w)", clause, re.IGNORECASE)
        ]
        yield named[0] if len(named) == 1 else "", _as_numbers(match.groups())
        end = match.end()
    if re.search(r"\[\s*-?\d[^\[\]]*$", text[end:]):
        raise ValueError("ends inside a box")


def _last_words(text: str, labels: Sequence[str]) -> str:
    """The part of a text that names the box after it: its last label, else its last line."""
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


class _Pairs(list):  # type: ignore[type-arg]
    """The keys and values of a JSON object in their order, doubled keys among them."""


def _of_objects(text: str) -> Iterator[_Found]:
    """Labels and numbers of all JSON objects in a text."""
    lead = text[: text.index("{") + 1]
    for start in [match.start() for match in re.finditer(r"[\[{]", lead)][-_MOST_STARTS:]:
        try:
            value, end = json.JSONDecoder(object_pairs_hook=_Pairs).raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if "{" not in text[end:] and "{" in text[start:end]:
            yield from _inside(value)
            return
    end = 0
    for match in _OBJECT.finditer(text):
        yield from _of_object(match[0])
        end = match.end()
    rest = text[end:]
    if "{" not in rest:
        return
    rest = rest[rest.index("{") :].replace("`", "").strip()
    for closed in (rest + "}", rest.removesuffix("]").strip() + "}"):
        try:
            last = json.loads(closed, object_pairs_hook=_Pairs)
        except (ValueError, RecursionError):
            continue
        yield from _inside(last)
        return
    if any(key in rest for key in _BOX_KEYS):
        raise ValueError("ends inside a box")


_MOST_STARTS = 20
_NESTED = "[" * 8
"""No list of boxes is nested so deep; reading such a text as JSON takes long for nothing."""


def _inside(value: Any) -> Iterator[_Found]:
    """Labels and numbers of the objects in a JSON value that have a box, whatever holds them."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, _Pairs):
            boxes = list(_boxes_of_pairs(value))
            if boxes:
                yield from boxes
            else:
                waiting += reversed([inner for _, inner in value])
        elif isinstance(value, list):
            waiting += reversed(value)


def _of_object(text: str) -> Iterator[_Found]:
    """The label of a JSON object with each of its boxes, of which there is mostly one."""
    try:
        pairs = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        pairs = _of_faulty_object(text)
    return _boxes_of_pairs(pairs)


def _boxes_of_pairs(pairs: Sequence[tuple[str, Any]]) -> Iterator[_Found]:
    """The boxes of an object, each with its label: the one label, or as many as there are boxes."""
    boxes: list[list[float]] = []
    for key in dict.fromkeys(key for key, _ in pairs if key in _BOX_KEYS):
        boxes_of_key = [numbers for name, value in pairs if name == key for numbers in _boxes_of(value)]
        if boxes and boxes_of_key and boxes_of_key != boxes:
            raise ValueError("names different boxes of one thing")
        boxes = boxes or boxes_of_key
    boxes = boxes or [numbers for numbers in [_of_keys(pairs)] if numbers]
    boxes = [box for index, box in enumerate(boxes) if box not in boxes[:index]]
    said = [value for key, value in pairs if key in _LABEL_KEYS[:1] and isinstance(value, str)]
    said = said or [value for key, value in pairs if key in _LABEL_KEYS and isinstance(value, str)][:1]
    said = said[:1] if len(set(said)) == 1 else said
    if boxes and len(said) not in (0, 1, len(boxes)):
        raise ValueError("names other numbers of boxes and labels in one object")
    for index, box in enumerate(boxes):
        yield said[index if len(said) > 1 else 0] if said else "", box


def _boxes_of(value: Any) -> list[list[float]]:
    """The boxes in the value of a key: lists of four numbers, a text, or an object."""
    if isinstance(value, _Pairs):
        numbers = _of_keys(value)
        return [numbers] if numbers else []
    if isinstance(value, str):
        match = _BARE.fullmatch(value.strip())
        return [_as_numbers(match.groups())] if match else []
    numbers = list(_numbers(value))
    if len(numbers) % 4:
        raise ValueError("names a box of other than four numbers")
    return [numbers[start : start + 4] for start in range(0, len(numbers), 4)]


def _of_keys(pairs: Sequence[tuple[str, Any]]) -> list[float] | None:
    """Four numbers that stand under keys of their own, as two corners; None if there are none, or in doubt."""
    held = {str(key).lower().replace("_", ""): value for key, value in pairs}
    numbers = {
        key: value
        for key, value in held.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    forms = [keys for keys in _CORNER_KEYS if set(keys) <= set(numbers)]
    if len(forms) != 1:
        return None
    four = [numbers[key] for key in forms[0]]
    if forms[0][2] == "width":
        four[2:] = [four[0] + four[2], four[1] + four[3]]
    return four


def _of_faulty_object(text: str) -> list[tuple[str, Any]]:
    """Boxes and labels of an object in single quotes, with commas too many, or with keys without quotes."""
    pairs: list[tuple[str, Any]] = [
        (listed[1], _as_numbers(re.findall(r"-?\d+(?:\.\d+)?", listed[2])))
        for listed in _KEYED_LIST.finditer(text)
    ]
    if not pairs:
        pairs = [(key, number) for key, text in _KEYED_NUMBER.findall(text) for number in _as_numbers([text])]
    for label in _KEYED_LABEL.finditer(text):
        pairs.append((label[1], re.sub(r"\\(.)", r"\1", label[2][1:-1])))
    return pairs


def _numbers(value: Any) -> Iterator[float]:
    """The numbers in a list or in lists within it."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list) and not isinstance(value, _Pairs):
            waiting += reversed(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield value


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


def says_nothing(text: str, labels: Sequence[str]) -> bool:
    """True if the text says that there is nothing of what was asked about, and no more than that.

    >>> says_nothing("There is no cat in the image.", ["cat"]), says_nothing("No idea.", ["cat"])
    (True, False)
    >>> says_nothing("There is no cat.", ["cat", "dog"]), says_nothing("I see no cat or dog.", ["cat", "dog"])
    (False, True)
    """
    if _EMPTY_LIST.fullmatch(text.strip()):
        return True
    bare = " ".join(text.strip().strip("\"'*` ").rstrip(".!。！").replace("’", "'").split())
    names = sorted(labels, key=len, reverse=True)
    any_name = "|".join(rf"{re.escape(name)}(?:e?s)?" for name in names) or r"(?!)"
    listed = (
        rf"(?:(?:{any_name})(?:(?:\s*,|\s*,?\s+(?:or|and|nor))\s+(?:(?:a|an|any|no)\s+)?(?:{any_name}))*)"
    )
    for denial in _DENIALS:
        match = re.fullmatch(denial.replace("THING", rf"(?P<thing>{listed}|{_THINGS})"), bare, re.IGNORECASE)
        if match:
            thing = match.groupdict().get("thing")
            return (
                thing is None
                or re.fullmatch(_THINGS, thing, re.IGNORECASE) is not None
                or all(
                    re.search(rf"(?<!\w){re.escape(name)}(?:e?s)?(?!\w)", thing, re.IGNORECASE)
                    for name in labels
                )
            )
    return False
