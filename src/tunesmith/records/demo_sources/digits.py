"""Source `digits`: pictures of handwritten digits whose places are known, made as they are asked for.

The digits are real: scikit-learn brings along 1,797 of them (Alpaydin and Kaynak 1998, "Optical Recognition of
Handwritten Digits"). They are enlarged and laid on a canvas, so that finding, counting, naming and comparing can be
learnt and tested anywhere, on data that nobody has to download.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from tunesmith.config.settings import ImpossibleError
from tunesmith.records.demo_sources._handwriting import GAP, Handwriting, Scene, Style, draw, room_for
from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow, Source
from tunesmith.records.sources._rows import row

CLASSES = range(10)
_CLEARLY_LARGER = 1.2
_CLEARLY_LEFT = 0.05


def _rising(span: tuple[Any, Any]) -> tuple[Any, Any]:
    if span[0] > span[1]:
        raise ValueError("the first must not be more than the second")
    return span


def _different(values: list[int]) -> list[int]:
    if len(set(values)) < len(values):
        raise ValueError("names one of them twice")
    return values


Count = Annotated[int, Field(ge=1)]
Side = Annotated[int, Field(ge=16)]
Share = Annotated[float, Field(ge=0, le=1)]


class Digits(Source):
    """Pictures of digits, with `image`, `number` (of the picture), and of its digits from left to right `digits`,
    `labels` and `boxes` (left, top, right, bottom in pixels).

    `detect` adds `target`, a digit to find, and `objects` (`bbox` and `category` of all that are one). `vqa` makes
    several records of a picture, with `question`, `answer`, `question_type` and `stage` (1 easy to 3 hard).
    `classify` shows one digit and adds its `label`.
    """

    kind: Literal["digits"] = "digits"
    pictures: Count = 1000
    """How many pictures."""
    seed: Annotated[int, Field(ge=0)] = 17
    """Seed of all choices; records are named `digits/SEED:number`, so give each source its own."""
    samples: Annotated[tuple[Share, Share], AfterValidator(_rising)] = (0.0, 1.0)
    """Share of the handwritten digits to draw from; `[0, 0.8]` here and `[0.8, 1]` there have none in common."""
    questions: Literal["detect", "vqa", "classify"] = "detect"
    """What is asked about a picture."""
    digits: Annotated[
        list[Annotated[int, Field(ge=0, le=9)]], Field(min_length=1), AfterValidator(_different)
    ] = Field(default=list(CLASSES))
    """Which digits occur, all equally often."""
    per_picture: Annotated[tuple[Count, Count], AfterValidator(_rising)] | None = None
    """Fewest and most digits in a picture; none is 1 to 4, or 1 for `classify`."""
    absent: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of pictures of `detect` that do not hold the digit which is to be found."""
    canvas: tuple[Side, Side] = (224, 224)
    """Width and height of a picture in pixels."""
    largest_canvas: tuple[Side, Side] | None = None
    """Width and height up to which pictures vary by chance; none keeps all at `canvas`."""
    size: Annotated[tuple[Annotated[int, Field(ge=8)], Side], AfterValidator(_rising)] = (40, 96)
    """Smallest and largest longer side of a digit in pixels; lowered where many digits leave little room."""
    invert: bool = False
    """Light digits on dark paper, else dark ones on light paper."""
    colours: Literal["grey", "colour"] = "grey"
    """Grey, or paper and each digit in colours by chance."""
    paper: Literal["mottled", "plain"] = "mottled"
    """Of two shades that flow into one another, or of one. On plain paper, pictures of few digits are so alike that
    `data.leaks.pictures` may take them for one another."""

    @model_validator(mode="after")
    def _possible(self) -> Digits:
        faults = []
        if self.questions == "classify" and self._counts != (1, 1):
            faults.append(("per_picture", "questions 'classify' shows one digit; leave per_picture out"))
        if self.size[1] > min(self.canvas):
            faults.append(
                ("size", f"a digit of {self.size[1]} pixels does not fit on canvas {list(self.canvas)}")
            )
        elif (room := room_for(self.canvas, self.size[0])) < self._counts[1]:
            what = f"canvas {list(self.canvas)} has room for {room} digits of {self.size[0]} pixels and {GAP} between"
            faults.append(("per_picture", f"got up to {self._counts[1]}, but {what} them"))
        if self.largest_canvas and any(
            most < least for least, most in zip(self.canvas, self.largest_canvas, strict=True)
        ):
            faults.append(("largest_canvas", f"must not be smaller than canvas, {list(self.canvas)}"))
        if faults:
            raise ImpossibleError(*faults)
        return self

    def rows(self, base: Path) -> Iterator[Record | BadRow]:
        """Records picture by picture; of `vqa` several for each. DataError if scikit-learn is not installed."""
        handwriting = Handwriting(self.samples, self.digits)
        count = 0
        for number in range(1, self.pictures + 1):
            chance = Random(f"{self.seed}/{number}")
            scene = self._scene(handwriting, chance)
            fields: dict[str, Any] = {
                "image": {"bytes": scene.png, "path": None},
                "number": number,
                "digits": scene.values,
                "labels": [str(value) for value in scene.values],
                "boxes": [list(digit.box) for digit in scene.digits],
            }
            for asked in self._asked(scene, chance):
                count += 1
                yield row(f"digits/{self.seed}:{count}", fields | asked, self.columns)

    def fingerprint(self, base: Path) -> str:
        """All settings."""
        return self.model_dump_json()

    @property
    def _counts(self) -> tuple[int, int]:
        return self.per_picture or ((1, 1) if self.questions == "classify" else (1, 4))

    def _scene(self, handwriting: Handwriting, chance: Random) -> Scene:
        sides = zip(self.canvas, self.largest_canvas or self.canvas, strict=True)
        width, height = (chance.randint(least, most) for least, most in sides)
        values = [chance.choice(self.digits) for _ in range(chance.randint(*self._counts))]
        stamps = [(value, handwriting.stamp(value, chance)) for value in values]
        style = Style(
            light_ink=self.invert, coloured=self.colours == "colour", mottled=self.paper == "mottled"
        )
        return draw(stamps, (width, height), self.size, style, chance)

    def _asked(self, scene: Scene, chance: Random) -> Iterator[dict[str, Any]]:
        """Further fields of each record of a picture."""
        if self.questions == "classify":
            yield {"label": str(scene.values[0])}
        elif self.questions == "detect":
            missing = sorted(set(self.digits) - set(scene.values))
            wanted = missing if missing and chance.random() < self.absent else sorted(set(scene.values))
            target = chance.choice(wanted)
            boxes = [list(digit.box) for digit in scene.digits if digit.value == target]
            objects = {"bbox": boxes, "category": [str(target)] * len(boxes)}
            yield {"target": str(target), "objects": objects}
        else:
            for kind, (stage, ask) in QUESTIONS.items():
                asked = ask(scene, self.digits, chance)
                if asked is not None:
                    question, answer = asked
                    yield {"question": question, "answer": answer, "question_type": kind, "stage": stage}


Asked = tuple[str, str] | None
"""A question and its answer; none if a picture has no clear one."""


def _yes_no(scene: Scene, classes: list[int], chance: Random) -> Asked:
    present = sorted(set(scene.values))
    missing = sorted(set(classes) - set(present))
    yes = not missing or chance.random() < 0.5
    return (
        f"Is the digit {chance.choice(present if yes else missing)} in the picture?",
        "Yes" if yes else "No",
    )


def _how_many(scene: Scene, classes: list[int], chance: Random) -> Asked:
    return "How many digits are in the picture?", str(len(scene.digits))


def _which(scene: Scene, classes: list[int], chance: Random) -> Asked:
    listed = ", ".join(map(str, sorted(set(scene.values))))
    return "Which digits are in the picture? Name each once, the lowest first.", listed


def _how_many_of(scene: Scene, classes: list[int], chance: Random) -> Asked:
    value = chance.choice([*scene.values, chance.choice(classes)])
    return f"How many times is the digit {value} in the picture?", str(scene.values.count(value))


def _leftmost(scene: Scene, classes: list[int], chance: Random) -> Asked:
    if len(scene.digits) < 2:
        return None
    first, second, *_ = sorted(scene.digits, key=lambda digit: digit.middle)
    clear = second.middle - first.middle >= _CLEARLY_LEFT * scene.width and first.box[0] < second.box[0]
    return ("Which digit is furthest to the left?", str(first.value)) if clear else None


def _left_of(scene: Scene, classes: list[int], chance: Random) -> Asked:
    once = [digit for digit in scene.digits if scene.values.count(digit.value) == 1]
    if len(once) < 2:
        return None
    one, other = chance.sample(once, 2)
    if abs(one.middle - other.middle) < _CLEARLY_LEFT * scene.width:
        return None
    answer = "Yes" if one.middle < other.middle else "No"
    return f"Is the {one.value} further to the left than the {other.value}?", answer


def _largest(scene: Scene, classes: list[int], chance: Random) -> Asked:
    if len(scene.digits) < 2:
        return None
    second, first = sorted(scene.digits, key=lambda digit: digit.size)[-2:]
    clear = first.size >= _CLEARLY_LARGER * second.size
    return ("Which digit is the largest?", str(first.value)) if clear else None


def _sum(scene: Scene, classes: list[int], chance: Random) -> Asked:
    return "What is the sum of all digits in the picture?", str(sum(scene.values))


QUESTIONS: Mapping[str, tuple[int, Callable[[Scene, list[int], Random], Asked]]] = {
    "yes-no": (1, _yes_no),
    "how-many": (1, _how_many),
    "which": (2, _which),
    "how-many-of": (2, _how_many_of),
    "leftmost": (2, _leftmost),
    "left-of": (3, _left_of),
    "largest": (3, _largest),
    "sum": (3, _sum),
}
"""Stage of each kind of question, and what asks it."""
