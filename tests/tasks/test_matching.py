from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask

from tunesmith.images.boxes import Box
from tunesmith.metrics._boxes import THRESHOLDS
from tunesmith.tasks._matching import box_marks, ious
from tunesmith.tasks.detect import Detect


@st.composite
def some_boxes(draw: st.DrawFn, labels: tuple[str, ...] = ("cat",)) -> list[Box]:
    made = []
    for _ in range(draw(st.integers(0, 4))):
        left, top = draw(st.floats(0, 0.8)), draw(st.floats(0, 0.8))
        width, height = draw(st.floats(0.05, 0.2)), draw(st.floats(0.05, 0.2))
        made.append(Box(draw(st.sampled_from(labels)), (left, top, left + width, top + height)))
    return made


def rectangles(boxes: list[Box]) -> np.ndarray:
    corners = np.array([box.corners for box in boxes])
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1)


@given(some_boxes(), some_boxes())
def test_overlap_is_pycocotools(said: list[Box], true: list[Box]) -> None:
    got = ious(said, true)
    assert got.shape == (len(said), len(true))
    if said and true:
        wanted = mask.iou(rectangles(said), rectangles(true), [0] * len(true))
        assert got == pytest.approx(wanted, abs=1e-9)


@given(some_boxes(("cat", "dog")), some_boxes(("cat", "dog")))
def test_no_other_matching_is_better(said: list[Box], true: list[Box]) -> None:
    pairs = ious(said, true)
    pairs *= np.array([[one.label == other.label for other in true] for one in said]).reshape(pairs.shape)
    padded = np.zeros((max(4, *pairs.shape),) * 2)
    padded[: len(said), : len(true)] = pairs
    ways = [padded[range(len(padded)), list(order)] for order in permutations(range(len(padded)))]
    marks = box_marks(said, true, ("cat", "dog"))
    if true:
        assert marks["iou"] == pytest.approx(max(way.sum() for way in ways) / len(true))
    for threshold in THRESHOLDS:
        best = max((way >= threshold / 100).sum() for way in ways)
        assert marks[f"matched_{threshold}"] == best
        assert best == sum(marks.get(f"matched_{threshold}/{label}", 0) for label in ("cat", "dog"))


def test_counts_of_a_label_are_there_where_the_picture_has_to_do_with_it() -> None:
    cat, dog = Box("cat", (0.0, 0.0, 0.5, 0.5)), Box("dog", (0.0, 0.0, 0.5, 0.5))
    marks = box_marks([cat], [dog], ("cat", "dog", "fox"))
    assert (marks["objects"], marks["predicted"], marks["matched_50"], marks["iou"]) == (1, 1, 0, 0)
    assert (marks["objects/dog"], marks["predicted/dog"], marks["predicted/cat"]) == (1, 0, 1)
    assert not [name for name in marks if name.endswith("fox")]


def test_nothing_said_of_nothing_there_is_perfect_and_anything_is_wrong() -> None:
    cat = Box("cat", (0.0, 0.0, 0.5, 0.5))
    assert box_marks([], [])["iou"] == 1
    assert box_marks([cat], [])["iou"] == 0
    assert box_marks([], [cat])["iou"] == 0


def test_one_box_cannot_find_two_things() -> None:
    cat = Box("cat", (0.0, 0.0, 0.5, 0.5))
    assert box_marks([cat], [cat, cat])["iou"] == 0.5
    assert box_marks([cat], [cat, cat])["matched_95"] == 1


def test_the_task_announces_the_marks() -> None:
    assert {"correct", "detected", *box_marks([], [])} == set(Detect.marks)
