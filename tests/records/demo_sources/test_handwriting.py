from __future__ import annotations

import io
import sys
from random import Random

import numpy as np
import pytest
from PIL import Image

from tunesmith.errors import DataError
from tunesmith.records.demo_sources._handwriting import GAP, Handwriting, Scene, Style, draw, room_for

PLAIN = Style(light_ink=False, coloured=False, mottled=False)


def drawn(values: list[int], canvas: tuple[int, int], sizes: tuple[int, int], style: Style = PLAIN) -> Scene:
    chance, handwriting = Random(1), Handwriting((0.0, 1.0), values)
    stamps = [(value, handwriting.stamp(value, chance)) for value in values]
    return draw(stamps, canvas, sizes, style, chance)


def test_as_many_digits_as_there_is_room_for_always_find_a_place() -> None:
    canvas, size = (150, 103), 30
    assert room_for(canvas, size) == (150 // (30 + GAP)) * (103 // (30 + GAP)) == 12
    scene = drawn([4, 8, 0] * 4, canvas, (size, 60))
    assert sorted(scene.values) == [0] * 4 + [4] * 4 + [8] * 4
    ink = np.zeros((103, 150), int)
    for left, top, right, bottom in (digit.box for digit in scene.digits):
        ink[top:bottom, left:right] += 1
    assert ink.max() == 1


def test_digits_are_listed_from_left_to_right_with_their_size_and_middle() -> None:
    scene = drawn([1, 2, 3, 4], (300, 100), (30, 40))
    assert [digit.box[0] for digit in scene.digits] == sorted(digit.box[0] for digit in scene.digits)
    for digit in scene.digits:
        left, top, right, bottom = digit.box
        assert digit.size == max(right - left, bottom - top)
        assert left < digit.middle < right


@pytest.mark.parametrize("light_ink", [False, True])
@pytest.mark.parametrize("coloured", [False, True])
def test_ink_stands_out_from_mottled_paper(light_ink: bool, coloured: bool) -> None:
    for _ in range(3):
        scene = drawn([1], (100, 100), (60, 60), Style(light_ink, coloured, mottled=True))
        grey = np.asarray(Image.open(io.BytesIO(scene.png)).convert("L")).astype(float)
        left, top, right, bottom = scene.digits[0].box
        ink = grey[(top + bottom) // 2, left + 1 : right - 1]
        outside = np.concatenate([grey[:, :left].ravel(), grey[:, right:].ravel()])
        assert outside.std() > 1
        if light_ink:
            assert ink.max() > outside.max() + 50
        else:
            assert ink.min() < outside.min() - 50


def test_a_share_without_a_wanted_digit_is_named() -> None:
    with pytest.raises(
        DataError,
        match=r"^digits: samples \[0\.0, 0\.004\] are 7 of 1797 handwritten digits, and none of them is a 7 or 9\. "
        r"Widen data\.source\.samples, or leave these out of data\.source\.digits\.",
    ):
        Handwriting((0.0, 0.004), [1, 9, 7])


def test_a_missing_library_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "sklearn.datasets", None)
        with pytest.raises(
            DataError, match=r"scikit-learn, which is not installed\. Run `pip install scikit-learn`"
        ):
            Handwriting((0.0, 1.0), [1])
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "PIL", None)
        with pytest.raises(DataError, match=r"Run `pip install 'tunesmith\[vision\]'`"):
            Handwriting((0.0, 1.0), [1])
