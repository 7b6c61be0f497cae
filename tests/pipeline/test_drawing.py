"""Drawings show what the model sees, and boxes where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.images.made import put, scene
from tests.model.families.pictures import picture
from tunesmith.batching.example import Placed
from tunesmith.images.boxes import Box
from tunesmith.pipeline.drawing import COLOURS, as_seen, draw, preview, with_boxes

GREY = Image.new("RGB", (400, 300), (90, 90, 90))
CORNERS = (0.25, 0.2, 0.75, 0.6)


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))


def columns_and_rows(image: Image.Image, colour: str) -> tuple[int, int, int, int]:
    """First and last column and row in which the colour is."""
    rows, columns = np.nonzero((np.asarray(image) == rgb(colour)).all(-1))
    return tuple(int(one) for one in (columns.min(), rows.min(), columns.max(), rows.max()))  # type: ignore[return-value]


@pytest.mark.parametrize("size", [(130, 90), (60, 200)])
def test_a_picture_is_shown_in_the_size_and_shape_in_which_the_model_sees_it(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    placed = Placed(picture(tmp_path, *size), 0, rows=3, columns=5, patch_size=14, merge_size=2)
    with Image.open(placed.picture.file) as file:
        wanted = file.resize((140, 84), Image.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(as_seen(placed)), np.asarray(wanted))


def test_a_box_is_drawn_around_its_pixels() -> None:
    drawn = with_boxes(GREY, [Box("table", CORNERS)], line=1, labelled=False)
    assert columns_and_rows(drawn, COLOURS[0]) == (100, 60, 299, 179)
    inside = np.asarray(drawn)[61:179, 101:299]
    assert (inside == 90).all()
    assert (np.asarray(GREY) == 90).all()


def test_each_label_has_a_colour_and_stands_inside_the_picture() -> None:
    boxes = [Box("cat", CORNERS), Box("dog", (0.9, 0.0, 1.0, 1.0)), Box("cat", (0, 0.8, 0.2, 1))]
    drawn = with_boxes(GREY, boxes, line=2)
    left, top, right, bottom = columns_and_rows(drawn, COLOURS[0])
    assert (left, right, bottom) == (0, 299, 299)
    assert top < 60
    assert columns_and_rows(drawn, COLOURS[1])[2] == 399
    colours = {tuple(one) for one in np.asarray(drawn).reshape(-1, 3).tolist()}
    assert rgb(COLOURS[2]) not in colours


@pytest.mark.parametrize("label", ["猫", "🙂", "a\u0301", "table " * 40, "café"])
def test_any_label_can_be_drawn(label: str) -> None:
    plain, drawn = (with_boxes(GREY, [Box(label, CORNERS)], 2, labelled=one) for one in (False, True))
    assert np.asarray(plain).tobytes() != np.asarray(drawn).tobytes()


@pytest.mark.parametrize("corners", [(0, 0, 1, 1), (0.5, 0.5, 0.5, 0.5), (1, 1, 1, 1), (0.999, 0, 1, 0.001)])
def test_boxes_without_a_size_or_at_the_edge_can_be_drawn(corners: tuple[float, ...]) -> None:
    drawn = with_boxes(GREY, [Box("x", corners)], line=1, labelled=False)  # type: ignore[arg-type]
    assert columns_and_rows(drawn, COLOURS[0])[2] <= 399


@pytest.mark.parametrize(("side", "drawn_side"), [(28, 448), (224, 448), (300, 300), (2000, 2000)])
def test_small_pictures_are_enlarged_in_whole_steps(tmp_path: Path, side: int, drawn_side: int) -> None:
    draw(scene(1, side, side), [], tmp_path / "new" / "a.png")
    with Image.open(tmp_path / "new" / "a.png") as drawn:
        assert drawn.size == (drawn_side, drawn_side)
        times = drawn_side // side
        assert np.array_equal(np.asarray(drawn)[::times, ::times], np.asarray(scene(1, side, side)))


@pytest.mark.parametrize(("width", "height"), [(400, 300), (100, 900), (3000, 28)])
def test_a_preview_keeps_the_shape_and_fits_into_a_terminal(width: int, height: int) -> None:
    lines = preview(Image.new("RGB", (width, height), (10, 20, 30)), []).plain.splitlines()
    assert len(lines) <= 20
    assert {len(line) for line in lines} == {len(lines[0])}
    assert 1 <= len(lines[0]) <= 40
    seen = len(lines[0]) / (2 * len(lines))
    if width < 3000:
        assert seen == pytest.approx(width / height, rel=0.15)


def test_a_preview_has_the_colours_of_the_picture_and_its_boxes(tmp_path: Path) -> None:
    halves = Image.new("RGB", (40, 20), (255, 0, 0))
    halves.paste((0, 0, 255), (0, 0, 20, 20))
    put(tmp_path / "a.png", halves)
    text = preview(halves, [Box("x", (0.5, 0.5, 1.0, 1.0))])
    styles = [str(span.style) for span in text.spans]
    assert styles[0] == "rgb(0,0,255) on rgb(0,0,255)"
    assert styles[39] == "rgb(255,0,0) on rgb(255,0,0)"
    red, green, blue = rgb(COLOURS[0])
    assert f"rgb({red},{green},{blue})" in styles[-1]
