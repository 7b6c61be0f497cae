from __future__ import annotations

import doctest
import json
import math
from collections.abc import Callable, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tunesmith.images.boxes import Box
from tunesmith.model.families import _boxes
from tunesmith.model.families._boxes import in_space, read, write_json, write_tokens

GRID = (1000, 1000)
TABLE = Box("table", (0.012, 0.03, 0.4, 0.5))
WRITERS = pytest.mark.parametrize("write", [write_tokens, write_json])
Writer = Callable[[Sequence[Box], tuple[int, int]], str]

REASONS = (
    "is empty", "names no box", "names only boxes without area in the picture", "ends inside a box",
    "names fractions, where other units are asked for", "names a box of other than four numbers",
    "names different boxes of one thing", "names other numbers of boxes and labels in one object",
    "says what is not at a box",
)  # fmt: skip

sides = st.integers(28, 16384)
spaces = st.one_of(st.just(GRID), st.tuples(sides, sides))
# Every character but control characters and halves of surrogate pairs, which no label of a record has.
labels = st.text(st.characters(exclude_categories=["C"]), min_size=1).filter(
    lambda label: label == label.strip() and "<|" not in label
)


@st.composite
def boxes_of_a_unit_or_more(draw: st.DrawFn, space: tuple[int, int]) -> Box:
    corners: list[tuple[float, float]] = []
    for length in space:
        size = draw(st.floats(1, length)) / length
        low = draw(st.floats(0, 1)) * (1 - size)
        corners.append((low, min(low + size, 1.0)))
    (left, right), (top, bottom) = corners
    return Box(draw(labels), (left, top, right, bottom))


def test_the_examples_in_the_docstrings_are_true() -> None:
    assert doctest.testmod(_boxes).failed == 0


@WRITERS
@given(data=st.data())
def test_what_is_written_is_read_within_half_a_unit_of_the_models_space(
    write: Writer, data: st.DataObject
) -> None:
    space = data.draw(spaces)
    boxes = data.draw(st.lists(boxes_of_a_unit_or_more(space), max_size=4))
    back = read(write(boxes, space), space, ["thing"])
    assert [box.label for box in back] == [box.label for box in boxes]
    for box, wanted in zip(back, boxes, strict=True):
        for place, (got, corner) in enumerate(zip(box.corners, wanted.corners, strict=True)):
            assert abs(got - corner) * space[place % 2] <= 0.5 + 1e-6


@given(
    width=st.integers(28, 8000),
    height=st.integers(28, 8000),
    shrink=st.floats(0.05, 1),
    grid=st.sampled_from([28, 32]),
    data=st.data(),
)
def test_pixels_of_a_resized_picture_are_read_within_half_of_its_pixels(
    width: int, height: int, shrink: float, grid: int, data: st.DataObject
) -> None:
    resized = max(grid, round(width * shrink / grid) * grid), max(grid, round(height * shrink / grid) * grid)
    box = data.draw(boxes_of_a_unit_or_more(resized))
    (back,) = read(write_json([box], resized), resized, [box.label])
    original = [share * (width, height)[place % 2] for place, share in enumerate(box.corners)]
    for place, share in enumerate(back.corners):
        pixel = (width, height)[place % 2]
        half = pixel / resized[place % 2] / 2
        assert abs(share * pixel - original[place]) <= half + 1e-6


@WRITERS
@given(data=st.data(), space=spaces)
def test_a_box_smaller_than_a_unit_is_still_a_box(
    write: Writer, data: st.DataObject, space: tuple[int, int]
) -> None:
    left, top = data.draw(st.floats(0, 1 - 1e-6)), data.draw(st.floats(0, 1 - 1e-6))
    (back,) = read(write([Box("dot", (left, top, left + 1e-9, top + 1e-9))], space), space, [])
    assert (back.corners[2] - back.corners[0]) * space[0] == pytest.approx(1)
    assert (back.corners[3] - back.corners[1]) * space[1] == pytest.approx(1)
    assert abs(back.corners[0] - left) * space[0] <= 1


def test_corners_outside_the_picture_are_written_on_its_edge() -> None:
    assert in_space((-0.2, 0.5, 1.0004, 3.0), (640, 480)) == (0, 240, 640, 480)


@pytest.mark.parametrize("write", [write_tokens, write_json])
def test_a_picture_without_things_is_written_and_read_as_such(write: Writer) -> None:
    assert read(write([], GRID), GRID, ["table"]) == ()


@given(st.text())
@example('{"bbox_2d": [1e999, NaN, -1e999, 5], "label": 3}')
@example('{"bbox_2d": [' + "9" * 5000 + ", 1, 2, 3]}")
@example('{"bbox_2d": [' + "9" * 400 + ", 1, 2, 3]}")
@example("(" + "9" * 400 + ",1),(2,3)")
@example('{"bbox": ' + "[" * 100_000 + "]" * 100_000 + "}")
@example("{" * 5000 + '"' * 5000)
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    try:
        boxes = read(text, GRID, ["a", "b"])
    except ValueError as fault:
        boxes, why = (), str(fault)
    else:
        why = None
    assert why in (None, *REASONS)
    assert all(0 <= corner <= 1 and math.isfinite(corner) for box in boxes for corner in box.corners)


@given(st.text(alphabet="[]{}(),:\"' 0123456789.-<|>boxrefstartenlabel_\n", max_size=80))
def test_any_text_that_looks_like_boxes_is_read_or_refused(text: str) -> None:
    test_any_text_is_read_or_refused_in_words.hypothesis.inner_test(text)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "text",
    [
        "<|object_ref_start|>table<|object_ref_end|><|box_start|>(12,30),(400,500)<|box_end|>",
        "<|box_start|>(12,30),(400,500)<|box_end|>",
        "The <|object_ref_start|>table<|object_ref_end|> is at <|box_start|>(12, 30), (400, 500)<|box_end|>.",
        "table(12,30),(400,500)",
        "(12,30),(400,500)",
        "Here is the Table: (12,30),(400,500)",
        "The table is here:\n(12,30) (400,500).",
        '[{"bbox_2d": [12, 30, 400, 500], "label": "table"}]',
        '{"bbox_2d": [12, 30, 400, 500], "label": "table"}',
        '```json\n[\n\t{"bbox_2d": [12, 30, 400, 500], "label": "table"}\n]\n```',
        'Sure! ```json\n[{"bbox_2d": [12, 30, 400, 500], "label": "TABLE"}]\n``` That is {all}.',
        '[{"label": "table", "bbox": [12, 30, 400, 500]}]',
        '[{"box": [12, 30, 400, 500]}]',
        '[{"box_2d": [12, 30, 400, 500], "name": "table"}]',
        "[{'bbox_2d': [12, 30, 400, 500], 'label': 'table'}]",
        '[{"bbox_2d": [12, 30, 400, 500,], "label": "table",},]',
        '{bbox_2d: [12, 30, 400, 500], label: "table"}',
        '{"objects": [{"bbox_2d": [12, 30, 400, 500], "label": "table"}]}',
        '[{"bbox_2d": [[12, 30], [400, 500]], "label": "table"}]',
        '[{"bbox_2d": [400, 500, 12, 30], "label": "table"}]',
        '[{"bbox_2d": [12.0, 30.0, 4e2, 500.0], "label": "table"}]',
        '[{"bbox_2d": [12, 30, 400, 500], "label": "table"}',
        '{"bbox_2d": [12, 30, 400, 500], "label": "table"',
        '[{"bbox_2d": [12, 30, 400, 500]',
        '```json\n[{"bbox_2d": [12, 30, 400, 500], "label": "table"}\n```',
        '{"bbox_2d": [12, 30, 400, 500], "bbox_2d": [12, 30, 400, 500], "label": "table"}',
        '[{"bbox_2d": "[12, 30, 400, 500]", "label": "table"}]',
        '{"bbox_2d": {"x1": 12, "y1": 30, "x2": 400, "y2": 500}, "label": "table"}',
        '{"x1": 12, "y1": 30, "x2": 400, "y2": 500, "label": "table"}',
        '[{"x_min": 12, "y_min": 30, "x_max": 400, "y_max": 500, "name": "table"}]',
        '{"left": 12, "top": 30, "width": 388, "height": 470, "label": "table"}',
        "{'left': 12, 'top': 30, 'right': 400, 'bottom': 500, 'label': 'table'}",
        "12, 30, 400, 500",
        "x1=12, y1=30, x2=400, y2=500",
        "<box>12 30 400 500</box>",
        "The table is at [12, 30, 400, 500].",
        '[{"bbox_2d": [12, 30, 400, 500], "label": "table"}, {"bbox_2d": [1100, 30, 1200, 500]}]',
        '[{"bbox_2d": [12, 30, 400, 500], "label": "table"}, {"bbox_2d": [7, 30, 7, 500]}]',
        "[12, 30, 400, 500]",
        "[[12, 30, 400, 500]]",
    ],
)
def test_an_answer_is_read_in_whatever_form_leaves_no_doubt(text: str) -> None:
    assert read(text, GRID, ["table"]) == (TABLE,)


@pytest.mark.parametrize(
    "text",
    [
        '{"bbox_2d": [1, 2, 300, 400], "label": "it\'s {here}"} {"bbox_2d": [5, 6, 700, 800], "label": "b\\"c"}',
        "{'bbox_2d': [1, 2, 300, 400], 'label': 'it\\'s {here}'} {'bbox_2d': [5, 6, 700, 800], 'label': 'b\"c'}",
        "<|object_ref_start|>it's {here}<|object_ref_end|><|box_start|>(1,2),(300,400)<|box_end|>"
        '<|object_ref_start|>b"c<|object_ref_end|><|box_start|>(5,6),(700,800)<|box_end|>',
        "it's {here}(1,2),(300,400)b\"c(5,6),(700,800)",
    ],
)
def test_several_boxes_keep_their_labels_and_their_order(text: str) -> None:
    assert read(text, GRID, ["it's {here}", 'b"c']) == (
        Box("it's {here}", (0.001, 0.002, 0.3, 0.4)),
        Box('b"c', (0.005, 0.006, 0.7, 0.8)),
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"bbox_2d": [1, 2, 300, 400], "label": "cat", "bbox_2d": [5, 6, 700, 800], "label": "dog"}',
        '[{"bbox_2d": [1, 2, 300, 400], "label": "cat"}]\n[{"bbox_2d": [5, 6, 700, 800], "label": "dog"}]',
        '{"found": [{"bbox": [1, 2, 300, 400], "name": "cat"}, {"label": "dog", "bbox": [5, 6, 700, 800]}]}',
        "cat: [1, 2, 300, 400]\ndog: [5, 6, 700, 800]",
        "The cat is at [1, 2, 300, 400] and the dog at [5, 6, 700, 800].",
        "No, the cat is at [1, 2, 300, 400], the dog at [5, 6, 700, 800].",
    ],
)
def test_two_things_are_told_apart(text: str) -> None:
    assert read(text, GRID, ["cat", "dog"]) == (
        Box("cat", (0.001, 0.002, 0.3, 0.4)),
        Box("dog", (0.005, 0.006, 0.7, 0.8)),
    )


def test_the_label_of_a_box_is_the_one_in_its_own_clause() -> None:
    (dog,) = read("I don't see a cat, I see a dog at [1, 2, 300, 400]", GRID, ["cat", "dog"])
    assert dog.label == "dog"


def test_one_label_may_stand_before_several_boxes() -> None:
    text = "<|object_ref_start|>cats<|object_ref_end|>" + "<|box_start|>(1,2),(300,400)<|box_end|>" * 2
    assert [box.label for box in read(text, GRID, [])] == ["cats", "cats"]
    assert [box.label for box in read("cats(1,2),(300,400)(1,2),(300,400)", GRID, [])] == ["cats", "cats"]


def test_a_missing_label_is_the_one_asked_for_and_of_several_none() -> None:
    text = json.dumps([{"bbox_2d": [1, 2, 300, 400]}])
    assert [read(text, GRID, labels)[0].label for labels in (["cat"], ["cat", "dog"], [])] == ["cat", "", ""]


def test_corners_outside_are_put_on_the_edge() -> None:
    assert read("[-20, 100, 640, 999]", (500, 400), ["x"]) == (Box("x", (0.0, 0.25, 1.0, 1.0)),)


@pytest.mark.parametrize(
    "text", ["[]", "```json\n[]\n```", "[ ]", "None", "none.", "**None**", "There are no tables in this image.",
             "No table found", "Nothing", "There is no table in the image.", "I do not see any table.", "没有。",
             "There isn't a table in this picture.", "The image does not contain a table.", "图中没有桌子。",
             "No objects detected.", "I see nothing.", '{"objects": []}']
)  # fmt: skip
def test_no_box_is_an_answer_where_the_text_says_so(text: str) -> None:
    assert read(text, GRID, ["table"]) == ()


def test_of_two_things_both_must_be_denied_in_the_language_of_their_names() -> None:
    assert read("The image does not contain a cat or a dog.", GRID, ["cat", "dog"]) == ()
    assert read("没有猫。", GRID, ["猫"]) == ()
    assert read("Keine Katze im Bild", GRID, ["Katze"]) == ()
    with pytest.raises(ValueError, match="names no box"):
        read("There is no cat.", GRID, ["cat", "dog"])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("I cannot help with that.", "names no box"),
        ("No, I cannot.", "names no box"),
        ('[{"label": "table"}]', "names no box"),
        ('[{"bbox_2d": [1, 2, 3], "label": "table"}]', "names a box of other than four numbers"),
        ('[{"bbox_2d": "left", "label": "table"}]', "names no box"),
        ('[{"bbox_2d": [12, 30, 400, 500], "la', "ends inside a box"),
        ("(12,30),(400", "names no box"),
        ("[12, 30, 400", "names no box"),
        ("[", "names no box"),
        ("No idea.", "names no box"),
        ("No comment", "names no box"),
        ("No wait, maybe there is one", "names no box"),
        ("None of the boxes is sure", "names no box"),
        ("Nothing is impossible", "names no box"),
        ("I cannot see the image.", "names no box"),
        ("There is no table, but there is a chair.", "names no box"),
        ("没有办法", "names no box"),
        ('[{"bbox_2d": [12, 30, 400, 500], "label": "table"}, {"bbox_2d": [1, 2, 30', "ends inside a box"),
        (
            '[{"bbox_2d": [12, 30, 400, 500], "label": "table"}, {"bbox_2d": [1, 2, 30, 40], "la',
            "ends inside a box",
        ),
        ("table(12,30),(400,500)chair(1,2),(3", "ends inside a box"),
        ("[[12, 30, 400, 500], [1, 2", "ends inside a box"),
        ("[0.1, 0.2, 0.3, 0.4]", "names fractions, where other units are asked for"),
        ('[{"bbox_2d": [0.0, 0.0, 1.0, 1.0]}]', "names fractions, where other units are asked for"),
        ("table(0.1,0.2),(0.3,0.4)", "names fractions, where other units are asked for"),
        (
            '[{"bbox_2d": [12, 30, 400, 500]}, {"bbox_2d": [1, 2, 3]}]',
            "names a box of other than four numbers",
        ),
        ('{"bbox_2d": [1, 2, 30, 40], "bbox": [5, 6, 70, 80]}', "names different boxes of one thing"),
        ('{"x": 10, "y": 20, "w": 30, "h": 40, "label": "table"}', "names no box"),
        ("There is no table at [12, 30, 400, 500]", "says what is not at a box"),
        ("There is no table in the image. [12, 30, 400, 500]", "says what is not at a box"),
        ("It is 12 by 30.", "names no box"),
        ("[1200, 30, 1300, 500]", "names only boxes without area in the picture"),
        ("(5,5),(5,90)", "names only boxes without area in the picture"),
        ('{"bbox_2d": [NaN, 1, 2, 3]}', "names only boxes without area in the picture"),
    ],
)
def test_what_names_no_box_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"^{why}$"):
        read(text, GRID, ["table"])
