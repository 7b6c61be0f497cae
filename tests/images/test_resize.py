from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from tunesmith.config.experiment import Pixels
from tunesmith.images.resize import target_size

SIDES = some.integers(1, 20_000)
FACTORS = some.sampled_from([28, 32])


def ours(width: int, height: int, factor: int, least: int, most: int, /, **settings: Any) -> tuple[int, int]:
    return target_size(width, height, Pixels(**settings), factor, least, most)


def official(width: int, height: int, factor: int, least: int, most: int) -> tuple[int, int]:
    rows, columns = smart_resize(height, width, factor, least, most)
    return rows // factor, columns // factor


@given(SIDES, SIDES, FACTORS, some.integers(1, 10**6), some.integers(0, 10**7))
def test_a_picture_has_as_many_tokens_as_in_the_official_processor(
    width: int, height: int, factor: int, least: int, more: int
) -> None:
    limits = (least, least + more)
    if max(width, height) / min(width, height) > 200:
        with pytest.raises(ValueError, match="absolute aspect ratio"):
            official(width, height, factor, *limits)
        with pytest.raises(
            ValueError, match=rf"^is {width} x {height} pixels: one side is \d+ times the other"
        ):
            ours(width, height, factor, *limits)
        return
    expected = official(width, height, factor, *limits)
    assert ours(width, height, factor, *limits) == expected
    assert ours(width, height, factor, 1, 1, min=limits[0], max=limits[1]) == expected


@given(SIDES, SIDES, FACTORS, some.integers(1, 3000))
def test_the_longest_side_is_what_shrinking_the_file_beforehand_would_give(
    width: int, height: int, factor: int, longest: int
) -> None:
    longer = max(width, height)
    if longer > longest:
        small = max(1, round(width * longest / longer)), max(1, round(height * longest / longer))
    else:
        small = width, height
    if max(small) / min(small) <= 200 and max(width, height) / min(width, height) <= 200:
        expected = official(*small, factor, 3136, 12_845_056)
        assert ours(width, height, factor, 3136, 12_845_056, longest_side=longest) == expected


@given(SIDES, SIDES)
def test_a_size_is_given_to_every_picture_whatever_its_shape_and_the_models_limits(
    width: int, height: int
) -> None:
    assert ours(width, height, 28, 3136, 50_000, size=(512, 256)) == (9, 18)
    assert ours(width, height, 32, 3136, 50_000, size=(512, 256)) == (8, 16)
    assert ours(width, height, 32, 3136, 50_000, size=(8, 4)) == (1, 1)


def test_a_limit_that_is_set_is_kept_though_the_models_own_is_beyond_it() -> None:
    assert ours(640, 480, 28, 200_000, 400_000, max=50_000) == official(640, 480, 28, 50_000, 50_000)
    assert ours(640, 480, 28, 3136, 100_000, min=400_000) == official(640, 480, 28, 400_000, 400_000)


def test_a_stripe_is_refused_in_words_that_tell_what_to_do() -> None:
    with pytest.raises(
        ValueError, match=r"^is 4000 x 10 .* 400 times .* up to 200 times\. Crop it, or set model\."
    ):
        ours(4000, 10, 28, 3136, 12_845_056)
    assert ours(4000, 10, 28, 3136, 12_845_056, size=(560, 280)) == (10, 20)
