"""Task `detect`: where things are in a picture. The model's family writes and reads the boxes in its own way."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, PrivateAttr, field_validator

from tunesmith.config.settings import Settings
from tunesmith.errors import DataError, counted
from tunesmith.images.boxes import AskForBoxes, Box, Boxes, BoxForm
from tunesmith.images.picture import Picture
from tunesmith.records.conversation import Conversation
from tunesmith.records.record import Record
from tunesmith.records.survey import Survey
from tunesmith.tasks import Answer, Task, Unread
from tunesmith.tasks._box_survey import BoxSurvey
from tunesmith.tasks._boxes import BoxFormat, BoxUnit, Notation, boxes_at
from tunesmith.tasks._frames import SIZE_FIELDS, BoxFrame
from tunesmith.tasks._labels import ClassNames, LabelValues, codes_by_text, common_reading, reading_of
from tunesmith.tasks._prompt import Template, fields_of, fill, question, turns, value_of
from tunesmith.tasks._said import plain

_UNTOLD = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]|<\|")


class LabelOfEach(Settings):
    """A label for each box."""

    field: str
    """Record field, or dotted path as `objects.category`, with a name, a key of the mapping or a position in `names`
    for each box."""
    names: Annotated[
        list[str] | dict[str, str],
        Field(min_length=1),
        BeforeValidator(codes_by_text, json_schema_input_type=list[str] | dict[str | int, str]),
    ]
    """All that is asked for, in order, as the model names it; or a mapping from the value in the data to that name,
    such as `{1: person, 2: bicycle}`. A number in the data that spells a name is that name. Numbers are positions in
    the list (from 0) only if 0 occurs in the source, all are below the number of names, and no name holds another such
    number; else the mapping is asked for."""

    @field_validator("names")
    @classmethod
    def _can_be_told_apart(cls, names: list[str] | dict[str, str]) -> list[str] | dict[str, str]:
        seen: dict[str, str] = {}
        for name in names if isinstance(names, list) else dict.fromkeys(names.values()):
            if _untold(name):
                raise ValueError(f"name {name!r} {_untold(name)}")
            if plain(name) in seen:
                raise ValueError(
                    f"names {seen[plain(name)]!r} and {name!r} cannot be told apart in an answer (case, quotes, "
                    "white space and a full stop do not matter); rename one"
                )
            seen[plain(name)] = name
        return names

    @property
    def in_order(self) -> tuple[str, ...]:
        """Names, each once, in the order of the file."""
        return tuple(self.names if isinstance(self.names, list) else dict.fromkeys(self.names.values()))

    def values(self, record: Record) -> list[Any]:
        """What the field has for each box; DataError if it is not there."""
        value = value_of(record, self.field, "task.label.field")
        return value if isinstance(value, list) else [value]

    def classes(self) -> ClassNames:
        """The names, and what stands for each in the data."""
        codes = self.names if isinstance(self.names, dict) else None
        return ClassNames(self.in_order, "task.label.names", codes)


class Detect(Task):
    """Where things are in a picture."""

    kind: Literal["detect"] = "detect"
    picture: str
    """Record field with the picture."""
    boxes: str
    """Record field, or dotted path as `objects.bbox`, with a list (maybe empty) of boxes of four numbers, or one."""
    format: BoxFormat
    """Order of the numbers: two corners as `xyxy` or `yxyx`, left top corner and size (`xywh`), or centre and size."""
    unit: BoxUnit
    """What they count: `pixels` of the original picture, or shares of its width and height: `fraction` (0 to 1),
    `percent` (0 to 100) or `thousandths` (0 to 1000)."""
    frame: BoxFrame | None = None
    """Picture that they count in where EXIF turns it: `upright` as it is seen, or `stored` as the file has it. None
    goes by the record's own `width` and `height`, and refuses such a picture without them."""
    label: Template | LabelOfEach
    """What is looked for: text such as `nutrition table` or `{target}` (a record's field); or a label for each box."""
    prompt: Template = "{boxes}"
    """The question; `{boxes}` is the model's own way to ask for boxes, `{name}` the record's field of that name."""
    form: BoxForm = "auto"
    """Form of the answer: `auto` as the model was trained, special `tokens`, or a `json` list."""

    _classes: ClassNames | None = PrivateAttr(None)

    default_metrics: ClassVar[tuple[str, ...]] = (
        "iou", "iou_median", "detection_rate", "iou_over_50", "iou_over_70",
        "box_precision", "box_recall", "box_f1", "ap50", "ap", "unread",
    )  # fmt: skip
    marks: ClassVar[tuple[str, ...]] = (
        "correct", "detected", "iou", "predicted", "objects",
        *(f"matched_{threshold}" for threshold in range(50, 100, 5)),
    )  # fmt: skip

    @field_validator("label")
    @classmethod
    def _label_can_be_written(cls, label: str | LabelOfEach) -> str | LabelOfEach:
        if isinstance(label, str) and _untold(label):
            raise ValueError(f"{label!r} {_untold(label)}")
        return label

    def model_post_init(self, context: Any, /) -> None:
        """Keep what stands for each name."""
        self._classes = self.label.classes() if isinstance(self.label, LabelOfEach) else None

    def decide(self, sources: Iterable[Iterable[Record]]) -> str | None:
        """What numbers in the labels of boxes stand for; DataError with the mapping that would say it, if that is not
        sure."""
        if (
            self._classes is None
            or not isinstance(self.label, LabelOfEach)
            or self._classes.codes is not None
        ):
            return None
        seen = []
        for source in sources:
            found = LabelValues(self._classes, self.label.field)
            for record in source:
                try:
                    values = self.label.values(record)
                except DataError:
                    continue
                for value in values:
                    found.add(record.id, value)
            seen.append(found)
        return common_reading(seen)

    def decided(self, decision: str | None) -> Self:
        """The task that reads numbers in the data as `decide` found."""
        made = self.model_copy()
        made._classes = self._classes and self._classes.read_as(reading_of(decision))
        return made

    def fields_asked(self) -> tuple[str, ...]:
        """The picture, and the fields of prompt, system prompt and label."""
        named = [name for name in fields_of(self.prompt) if name != "boxes"]
        labelled = fields_of(self.label) if isinstance(self.label, str) else ()
        return tuple(dict.fromkeys((*named, *fields_of(self.system or ""), *labelled, self.picture)))

    def fields_answered(self) -> tuple[str, ...]:
        """The field with the boxes, and the field with their labels."""
        return (self.boxes,) if isinstance(self.label, str) else (self.boxes, self.label.field)

    def fields_joined(self) -> tuple[str, ...]:
        """The field with the boxes, and that with their labels."""
        return (self.boxes,) if isinstance(self.label, str) else (self.boxes, self.label.field)

    def picture_fields(self) -> tuple[str, ...]:
        """The field with the picture."""
        return (self.picture,)

    def ask(self, record: Record, shots: Sequence[Conversation] = ()) -> Conversation:
        """The filled prompt; DataError for a missing field, or a label that cannot be."""
        picture, labels = self._picture(record), self._asked_for(record)
        asked = question(self.prompt, record, (self.picture,), {"boxes": AskForBoxes(labels, self.form)})
        return Conversation(
            record.id,
            turns(asked, self.system, record, shots, self.fields_asked()),
            "",
            boxes=Boxes(picture, (), self.form, labels),
        )

    def conversation(self, record: Record, shots: Sequence[Conversation] = ()) -> Conversation:
        """The filled prompt and the true boxes; DataError for a missing field, or a box or a label that cannot be."""
        picture = self._picture(record)
        corners = boxes_at(record, self.boxes, picture, Notation(self.format, self.unit), self.frame)
        labels = self._labels(record, len(corners))
        asked = self.ask(record, shots)
        assert asked.boxes is not None
        boxes = replace(asked.boxes, boxes=tuple(map(Box, labels, corners)))
        return replace(asked, answer=_text(_in_pixels(boxes.boxes, picture)), boxes=boxes)

    def fields_heeded(self) -> tuple[str, ...]:
        """Those of every task, and the size of the picture that was annotated."""
        return (*super().fields_heeded(), *(name for pair in SIZE_FIELDS for name in pair))

    def survey(self) -> Survey:
        """What tells after all records whether another format or unit would fit."""
        return BoxSurvey(Notation(self.format, self.unit), self.frame, self.boxes, self._picture)

    def read(self, answer: Answer) -> list[dict[str, Any]] | Unread:
        """The boxes that the model's family read; or why it read none. An answer that was cut is read only if its list
        of boxes is closed: else there may be more boxes than it had room for."""
        if not answer.text.strip():
            return Unread("is empty")
        if not answer.ended and not _has_closed_list(answer.text):
            return Unread("was cut before it ended")
        if answer.boxes is not None:
            return [box.to_json() for box in answer.boxes]
        return Unread(answer.fault or "names no box")

    def reported(self, conversation: Conversation, reading: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The boxes in pixels of the original picture: left, top, right, bottom."""
        assert conversation.boxes is not None
        boxes = [Box(one["label"], tuple(one["corners"])) for one in reading]
        return _in_pixels(boxes, conversation.boxes.picture)

    def mark(
        self, conversation: Conversation, answer: Answer, reading: list[dict[str, Any]] | Unread
    ) -> Mapping[str, float | None]:
        """`iou` (mean over the true boxes of the IoU with the box matched to each), `correct` (1 if that is over
        0.5), `detected` (1 if any box was read, none where there is nothing to find), and counts.

        Boxes match only with the same label, unless all are asked for by one: then it does not matter what the model
        calls them.
        """
        from tunesmith.tasks._matching import box_marks

        assert conversation.boxes is not None
        true = conversation.boxes.boxes
        said: Sequence[Box] = () if isinstance(reading, Unread) else answer.boxes or ()
        labels: tuple[str, ...] = ()
        if isinstance(self.label, LabelOfEach):
            labels = self.label.in_order
            named = {plain(label): label for label in labels}
            said = [Box(named.get(plain(box.label), ""), box.corners) for box in said]
        marks = {**box_marks(said, true, labels)}
        if isinstance(reading, Unread):
            marks["iou"] = 0.0
        return {
            "correct": float(marks["iou"] > 0.5),
            "detected": float(bool(said)) if true else None,
            **marks,
        }

    def _picture(self, record: Record) -> Picture:
        value = value_of(record, self.picture, "task.picture")
        picture = value[0] if isinstance(value, list) and len(value) == 1 else value
        if not isinstance(picture, Picture):
            got = f"a list of {len(value)}" if isinstance(value, list) else f"{value!r:.60}"
            raise DataError(
                f"{record.id}: task.picture: field {self.picture!r} is {got}; it must be one picture"
            )
        return picture

    def _asked_for(self, record: Record) -> tuple[str, ...]:
        """The labels that are asked for."""
        if not isinstance(self.label, str):
            return self.label.in_order
        label = fill(self.label, record).strip()
        if _untold(label):
            raise DataError(f"{record.id}: task.label: {label!r} {_untold(label)}")
        return (label,)

    def _labels(self, record: Record, num_boxes: int) -> Sequence[str]:
        """The label of each box."""
        if isinstance(self.label, str):
            return self._asked_for(record) * num_boxes
        assert self._classes is not None
        try:
            labels = [self._classes.names[self._classes.index(one)] for one in self.label.values(record)]
        except ValueError as fault:
            raise DataError(f"{record.id}: {self.label.field}: {fault}") from fault
        if len(labels) != num_boxes:
            raise DataError(
                f"{record.id}: task.label.field: {self.label.field!r} has {counted(len(labels), 'label')}, but "
                f"{self.boxes!r} has {counted(num_boxes, 'box', 'boxes')}; there must be one for each"
            )
        return labels


def _has_closed_list(text: str) -> bool:
    """True if the JSON list that a text begins with, after words or a fence, is whole, and none comes after it."""
    start = text.find("[")
    try:
        value, end = json.JSONDecoder().raw_decode(text, max(start, 0))
    except (ValueError, RecursionError):
        return False
    return isinstance(value, list) and not set("[{(") & set(text[end:])


def _untold(label: str) -> str | None:
    """Why a label cannot stand in an answer, if so."""
    if not plain(label):
        return "has nothing to read; it needs at least one letter or digit"
    if _UNTOLD.search(label):
        return "holds a line break, another control character or '<|', which cannot stand in an answer"
    return None


def _in_pixels(boxes: Sequence[Box], picture: Picture) -> list[dict[str, Any]]:
    """`[{"label": "cat", "pixels": [12, 30, 400, 500]}]`, in pixels of the original picture."""
    return [
        {
            "label": box.label,
            "pixels": [
                round(share * (picture.width, picture.height)[place % 2])
                for place, share in enumerate(box.corners)
            ],
        }
        for box in boxes
    ]


def _text(listed: list[dict[str, Any]]) -> str:
    return json.dumps(listed, ensure_ascii=False)
