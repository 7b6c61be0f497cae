"""What a smaller budget saves is what transformers' own resizing comes to."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

import numpy as np
import pytest
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from tests.tiny import CLIP
from tunesmith.audit.pictures import count_pictures
from tunesmith.config.experiment import Pixels
from tunesmith.model.families._image_processor import ImageProcessorConfig
from tunesmith.runs.audit import PictureTokens

SIZES = {(640, 480): 2, (480, 640): 1, (1280, 960): 1, (100, 80): 4}
TEXT = 30
"""Tokens of an example's text; each example has one picture."""


def tokens(width: int, height: int, most: int = 28 * 28 * 1280) -> int:
    rows, columns = smart_resize(height, width, factor=28, min_pixels=56 * 56, max_pixels=most)
    return rows // 28 * (columns // 28)


def counted(pixels: Pixels) -> PictureTokens:
    pictures = np.array([tokens(*size) for size, number in SIZES.items() for _ in range(number)])
    found = count_pictures(
        ImageProcessorConfig.from_file(pixels, CLIP), Counter(SIZES), pictures, pictures + TEXT
    )
    assert found is not None
    return found


def test_half_and_a_quarter_of_the_largest_picture_are_tried_and_exact() -> None:
    now, half, quarter = counted(Pixels()).budgets
    largest = max(tokens(*size) for size in SIZES)
    total = sum((tokens(*size) + TEXT) * number for size, number in SIZES.items())
    assert (now.largest, now.mean, now.saved) == (largest, total / 8, 0)
    for budget, part in ((half, 2), (quarter, 4)):
        most = largest // part * 28**2
        assert budget.name == f"model.pixels.max: {most}"
        smaller = [tokens(*size, most) for size, number in SIZES.items() for _ in range(number)]
        assert budget.largest == max(smaller) <= largest // part
        assert budget.mean == pytest.approx(np.mean(smaller) + TEXT)
        assert budget.saved == pytest.approx(1 - (sum(smaller) + 8 * TEXT) / total)


def test_pictures_are_told_apart_from_text() -> None:
    found = counted(Pixels())
    seen = [tokens(*size) for size, number in SIZES.items() for _ in range(number)]
    assert (found.pictures, found.per_example) == (8, 1)
    assert (found.mean, found.max) == (np.mean(seen), max(seen))
    assert found.share == sum(seen) / (sum(seen) + 8 * TEXT)
    told = asdict(found)
    assert told["budgets"][0]["pixels"] == {}
    assert set(told) >= {"min", "mean", "p50", "p90", "p95", "p99", "max", "share", "pictures", "per_example"}


def test_a_fixed_size_is_made_smaller_in_its_own_shape_and_says_so() -> None:
    _, half, quarter = counted(Pixels(size=(560, 280))).budgets
    assert half.name == "model.pixels: {size: [395, 198]}"
    assert quarter.name == "model.pixels: {size: [280, 140]}"
    assert quarter.largest == 10 * 5


def test_other_limits_stay_and_a_lower_one_gives_way() -> None:
    _, half, _ = counted(Pixels(min=500_000, longest_side=900)).budgets
    assert half.pixels["longest_side"] == 900
    assert half.pixels["min"] == half.pixels["max"] < 500_000
    assert half.name.startswith("model.pixels: {min: ")


def test_a_size_as_long_as_it_may_be_can_be_made_smaller_too() -> None:
    assert len(counted(Pixels(size=(600, 3))).budgets) == 3


def test_a_picture_of_one_token_is_not_asked_to_be_smaller() -> None:
    assert [budget.largest for budget in counted(Pixels(size=(28, 28))).budgets] == [1]
    assert [budget.largest for budget in counted(Pixels(size=(28, 56))).budgets] == [2, 1]


def test_without_pictures_there_is_nothing_to_tell() -> None:
    assert (
        count_pictures(
            ImageProcessorConfig.from_file(Pixels(), CLIP), Counter(), np.array([0]), np.array([5])
        )
        is None
    )
    assert count_pictures(None, Counter(), np.array([0]), np.array([5])) is None
