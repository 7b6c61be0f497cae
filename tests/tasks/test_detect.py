from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from tunesmith.errors import DataError
from tunesmith.images.boxes import AskForBoxes, Box, Boxes
from tunesmith.images.picture import Picture
from tunesmith.model.families._boxes import read, write_json, write_tokens
from tunesmith.records.conversation import Text, Turn
from tunesmith.records.record import Record
from tunesmith.tasks import Answer, Unread
from tunesmith.tasks.detect import Detect

PHOTO = Picture("a.png", "0" * 64, 640, 480, "0" * 16)
NUTRITION = {"picture": "image", "boxes": "objects.bbox", "format": "yxyx", "unit": "fraction"}
ANIMALS = {"field": "objects.kind", "names": ["cat", "dog"]}


def task(**settings: Any) -> Detect:
    return Detect(**{**NUTRITION, "label": "nutrition table", **settings})


def record(boxes: Any = ((0.25, 0.1, 0.5, 0.5),), **fields: Any) -> Record:
    more = fields.pop("objects", {})
    return Record(
        "hub:4", {"image": PHOTO, "objects": {"bbox": [list(box) for box in boxes], **more}, **fields}
    )


def marks(asked: Detect, true: Record, said: tuple[Box, ...] | None, ended: bool = True) -> dict[str, Any]:
    answer = Answer("x", ended, boxes=said, fault=None if said is not None else "names no box")
    return dict(asked.mark(asked.conversation(true), answer, asked.read(answer)))


def test_the_nutrition_tables_of_the_recipe_are_asked_for_in_the_models_words() -> None:
    conversation = task().conversation(record())
    assert conversation.turns == (Turn("user", (PHOTO, AskForBoxes(("nutrition table",)))),)
    table = Box("nutrition table", (0.1, 0.25, 0.5, 0.5))
    assert conversation.boxes == Boxes(PHOTO, (table,), labels=("nutrition table",))
    assert json.loads(conversation.answer) == [{"label": "nutrition table", "pixels": [64, 120, 320, 240]}]


def test_boxes_are_told_in_pixels_of_the_original_picture() -> None:
    asked = task().ask(Record("a:1", {"image": PHOTO}))
    reading = task().read(
        Answer("x", boxes=(Box("cat", (0.1, 0.25, 0.5, 1.0)), Box("dog", (0.0, 0.0, 1.0, 0.501))))
    )
    assert task().reported(asked, reading) == [
        {"label": "cat", "pixels": [64, 120, 320, 480]},
        {"label": "dog", "pixels": [0, 0, 640, 240]},
    ]


def test_an_own_question_may_hold_the_models_words_the_picture_and_fields() -> None:
    asked = task(prompt="{image}Brand: {brand}. {boxes}", form="json", system="Look.")
    conversation = asked.conversation(record(brand="Oat"))
    assert conversation.turns == (
        Turn.of("system", "Look."),
        Turn("user", (PHOTO, Text("Brand: Oat. "), AskForBoxes(("nutrition table",), "json"))),
    )
    assert conversation.boxes is not None
    assert conversation.boxes.form == "json"
    assert asked.fields_asked() == ("image", "brand")
    assert asked.picture_fields() == ("image",)


def test_the_label_may_come_from_a_field_so_that_each_record_asks_for_its_own_thing() -> None:
    asked = task(label="digit {target}", prompt="Where is the {target}?")
    conversation = asked.conversation(record(target=7))
    assert conversation.turns == (Turn("user", (PHOTO, Text("Where is the 7?"))),)
    assert conversation.boxes is not None
    assert [box.label for box in conversation.boxes.boxes] == ["digit 7"]
    assert asked.fields_asked() == ("target", "image")


@pytest.mark.parametrize(
    ("names", "kinds"),
    [
        (["cat", "dog"], ["dog", "cat"]),
        (["cat", "dog"], [1, 0]),
        ({0: "cat", 1: "dog"}, [1, 0]),
        ({"c": "cat", "d": "dog", "e": "dog"}, ["e", "c"]),
    ],
)
def test_each_box_may_have_its_own_label_and_all_are_asked_for(names: Any, kinds: list[Any]) -> None:
    boxes = [(0.1, 0.1, 0.2, 0.2), (0.3, 0.3, 0.5, 0.5)]
    asked = task(label={"field": "objects.kind", "names": names})
    asked = asked.decided(asked.decide([[record(boxes, objects={"kind": kinds})]]))
    conversation = asked.conversation(record(boxes, objects={"kind": kinds}))
    assert conversation.turns[-1].pieces[-1] == AskForBoxes(("cat", "dog"))
    assert conversation.boxes is not None
    assert [box.label for box in conversation.boxes.boxes] == ["dog", "cat"]
    empty = asked.conversation(record([], objects={"kind": []}))
    assert empty.turns == conversation.turns
    assert empty.answer == "[]"


@pytest.mark.parametrize(
    ("label", "fields", "what"),
    [
        (ANIMALS, {"objects": {"kind": ["cat", "dog"]}}, "task.label.field: 'objects.kind' has 2 labels, but "
         "'objects.bbox' has 1 box; there must be one for each"),
        (ANIMALS, {"objects": {"kind": ["dgo"]}}, "objects.kind: 'dgo', none of task.label.names (cat, dog). "
         "Did you mean 'dog'?"),
        (ANIMALS, {"objects": {"kind": [2]}}, "objects.kind: 2, none of task.label.names (cat, dog)."),
        (ANIMALS, {"objects": {"kind": [True]}}, "objects.kind: True, none of task.label.names"),
        ({"field": "objects.kind", "names": {"c": "cat"}}, {"objects": {"kind": ["cat"]}}, "'cat', none of "
         "task.label.names (c)."),
        (ANIMALS, {}, "task.label.field: 'objects.kind': 'kind' is not in (bbox)."),
        ("{target}", {"target": "a\nb"}, r"task.label: 'a\nb' holds a line break, another control character or '<|'"),
        ("{target}", {"target": "<|im_end|>"}, "task.label: '<|im_end|>' holds a line break, another control"),
        ("{target}", {"target": " "}, "task.label: '' has nothing to read; it needs at least one letter or digit"),
        ("{target}", {}, "there is no field 'target' (image, objects)."),
        ("cat", {"image": "a.png"}, "task.picture: field 'image' is 'a.png'; it must be one picture"),
        ("cat", {"image": [PHOTO, PHOTO]}, "task.picture: field 'image' is a list of 2; it must be one picture"),
    ],
)  # fmt: skip
def test_a_record_that_cannot_be_asked_is_named_with_its_fault(
    label: Any, fields: dict[str, Any], what: str
) -> None:
    with pytest.raises(DataError) as caught:
        task(label=label).conversation(record(**fields))
    assert str(caught.value).startswith("hub:4: ")
    assert what in str(caught.value)


def test_category_ids_that_count_from_1_are_refused_with_both_mappings() -> None:
    asked = task(label={"field": "objects.kind", "names": ["person", "car", "dog", "kite"]})
    boxes = [(0.1, 0.1, 0.2, 0.2), (0.3, 0.3, 0.5, 0.5)]
    with pytest.raises(DataError) as caught:
        asked.decide([[record(boxes, objects={"kind": [1, 3]}), record([], objects={"kind": []})]])
    assert "names: {1: person, 2: car, 3: dog, 4: kite}  if they count from 1" in str(caught.value)
    assert "names: {0: person, 1: car, 2: dog, 3: kite}  if they count from 0" in str(caught.value)
    assert str(caught.value).startswith("hub:4: field 'objects.kind' holds numbers, and 0 does not occur")


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"label": "a\nb"}, "holds a line break"),
        ({"label": "<|box_start|>"}, "which cannot stand in an answer"),
        ({"label": "."}, "has nothing to read"),
        ({"label": "{target"}, "the brace at character 1"),
        ({"label": {"field": "k", "names": ["cat", "Cat."]}}, "names 'cat' and 'Cat.' cannot be told apart"),
        ({"label": {"field": "k", "names": {0: "a\tb"}}}, "holds a line break"),
        ({"label": {"field": "k", "names": []}}, "at least 1"),
        ({"format": "xxyy"}, "'xyxy', 'xywh', 'cxcywh' or 'yxyx'"),
        ({"unit": "pixel"}, "'pixels', 'fraction', 'percent' or 'thousandths'"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], what: str) -> None:
    with pytest.raises(ValidationError) as caught:
        task(**settings)
    assert what in str(caught.value)


def test_format_and_unit_must_be_said_for_a_wrong_guess_would_train_wrong_boxes() -> None:
    with pytest.raises(ValidationError) as caught:
        Detect(picture="image", boxes="box", label="cat")  # type: ignore[call-arg]
    assert [error["loc"] for error in caught.value.errors()] == [("format",), ("unit",)]


@pytest.mark.parametrize(
    ("answer", "reading"),
    [
        (Answer("cat(1,2),(3", False, boxes=(Box("cat", (0.1, 0.2, 0.3, 0.4)),)), Unread("was cut before it ended")),
        (Answer('[{"bbox_2d": [1, 2, 3, 4]}, {"bb', False, boxes=(Box("cat", (0.1, 0.2, 0.3, 0.4)),)),
         Unread("was cut before it ended")),
        (Answer('[{"bbox_2d": [1, 2, 3, 4]}]\nThe cat is', False, boxes=(Box("cat", (0.1, 0.2, 0.3, 0.4)),)),
         [{"label": "cat", "corners": [0.1, 0.2, 0.3, 0.4]}]),
        (Answer("[]", boxes=()), []),
        (Answer("None of th", False, boxes=()), Unread("was cut before it ended")),
        (Answer("[{", False, fault="names no box"), Unread("was cut before it ended")),
        (Answer("Sorry", fault="names no box"), Unread("names no box")),
        (Answer("\n", fault="is empty"), Unread("is empty")),
    ],
)  # fmt: skip
def test_a_cut_list_of_boxes_is_unread_unless_it_was_closed_and_what_is_none_is_unread(
    answer: Answer, reading: Any
) -> None:
    assert task().read(answer) == reading


def test_the_overlap_of_one_box_is_its_iou_whatever_the_model_calls_it() -> None:
    said = (Box("Nutrition Facts", (0.1, 0.25, 0.5, 0.45)),)
    got = marks(task(), record(), said)
    assert got["iou"] == pytest.approx(0.8)
    assert (got["correct"], got["detected"], got["matched_75"], got["matched_85"]) == (1, 1, 1, 0)


def test_with_several_labels_a_box_counts_for_its_own_only_in_any_case() -> None:
    corners = (0.1, 0.25, 0.5, 0.5)
    asked, true = task(label=ANIMALS), record(objects={"kind": ["dog"]})
    assert marks(asked, true, (Box("Dog", corners),))["iou"] == 1
    wrong = marks(asked, true, (Box("cat", corners), Box("wolf", corners)))
    assert (wrong["iou"], wrong["correct"], wrong["detected"], wrong["predicted"]) == (0, 0, 1, 2)
    assert (wrong["predicted/cat"], wrong["objects/dog"], wrong["predicted/dog"]) == (1, 1, 0)


@pytest.mark.parametrize(
    ("said", "iou", "detected"),
    [((), 1, None), ((Box("x", (0.0, 0.0, 1.0, 1.0)),), 0, None), (None, 0, None)],
)
def test_where_there_is_nothing_to_find_only_saying_so_is_right(
    said: tuple[Box, ...] | None, iou: float, detected: float | None
) -> None:
    got = marks(task(), record([]), said)
    assert (got["iou"], got["correct"], got["detected"], got["objects"]) == (iou, iou, detected, 0)


def test_an_unread_answer_found_nothing_of_what_is_there() -> None:
    got = marks(task(), record(), None)
    assert {name: mark for name, mark in got.items() if mark} == {"objects": 1}


def test_boxes_that_were_not_there_do_not_make_the_overlap_less_but_are_counted() -> None:
    table, ghost = Box("t", (0.1, 0.25, 0.5, 0.5)), Box("t", (0.6, 0.6, 0.9, 0.9))
    got = marks(task(), record(), (ghost, table))
    assert (got["iou"], got["predicted"], got["matched_95"]) == (1, 2, 1)


@pytest.mark.parametrize("write", [write_tokens, write_json])
@pytest.mark.parametrize("space", [(1000, 1000), (644, 476)])
def test_the_reference_as_a_model_would_write_it_gets_the_best_marks(
    write: Any, space: tuple[int, int]
) -> None:
    boxes = [(0.1, 0.13, 0.43, 0.57), (0.51, 0.29, 0.97, 0.83)]
    asked, true = task(label=ANIMALS), record(boxes, objects={"kind": ["dog", "cat"]})
    wanted = asked.conversation(true).boxes
    assert wanted is not None
    got = marks(asked, true, read(write(wanted.boxes, space), space, ["cat", "dog"]))
    assert got["iou"] > 0.98
    assert (got["correct"], got["detected"], got["matched_95"], got["predicted"]) == (1, 1, 2, 2)
