import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.images.made import scene
from tunesmith.images.thumbnails import FINE_SIDE, thumbnail_of
from tunesmith.split.image_alignment import agreement, aligned, turned
from tunesmith.split.image_candidates import WHOLE, Placement

UPRIGHT = (False, False, False)
AS_IT_IS = Placement(WHOLE, UPRIGHT, False)


def agrees(one, other, placement=AS_IT_IS):
    """Agreement in coarse thumbnails; 0 for those that do not align."""
    warp = aligned(one, other, placement)
    return 0.0 if warp is None else agreement(one, other, placement, warp)


def agrees_finely(one, other):
    """Agreement of two pictures in fine thumbnails."""
    warp = aligned(thumbnail_of(one), thumbnail_of(other), AS_IT_IS)
    return agreement(thumbnail_of(one, FINE_SIDE), thumbnail_of(other, FINE_SIDE), AS_IT_IS, warp)


def form(number):
    """One printed form with other entries for every number."""
    chance = np.random.default_rng(number)
    page = Image.new("L", (420, 594), 255)
    draw = ImageDraw.Draw(page)
    draw.rectangle((20, 20, 400, 60), fill=60)
    for row in range(14):
        draw.rectangle((20, 80 + 35 * row, 400, 108 + 35 * row), outline=0)
        draw.text((26, 88 + 35 * row), f"{row + 1}. name of field", 0)
        entry = "".join(chance.choice(list("abcdefg hik mnoprstu"), int(chance.integers(4, 30))))
        draw.text((158, 88 + 35 * row), entry, 30)
    return page


def test_a_picture_agrees_with_itself_and_not_with_another():
    one, other = thumbnail_of(scene(1)), thumbnail_of(scene(2))
    assert agrees(one, one) > 0.97
    assert agrees(one, other) < 0.6


@pytest.mark.parametrize("turn", [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)])
def test_a_turned_and_inverted_picture_agrees_once_it_is_turned_back(turn):
    one = thumbnail_of(scene(1))
    turn = tuple(map(bool, turn))
    undone = next(
        back
        for back in [(a, b, c) for a in (False, True) for b in (False, True) for c in (False, True)]
        if np.array_equal(turned(turned(one, turn), back), one)
    )
    assert agrees(one, 255 - turned(one, turn), Placement(WHOLE, undone, True)) > 0.97


def test_a_crop_agrees_where_it_lies_though_that_was_known_only_roughly():
    image = scene(5, 400, 400)
    crop = image.crop((30, 12, 380, 400))
    placement = Placement((0.1, 0.05, 0.05, 0.0), UPRIGHT, False)
    assert agrees(thumbnail_of(image), thumbnail_of(crop), placement) > 0.95


def test_copies_of_a_form_that_are_filled_in_otherwise_do_not_agree_and_versions_of_one_do():
    one = form(1)
    small = one.resize((210, 297), Image.Resampling.LANCZOS)
    marked = one.copy()
    ImageDraw.Draw(marked).text((150, 300), "SAMPLE COPY", 120)
    assert agrees_finely(one, small) > 0.95
    assert agrees_finely(one, marked) > 0.93
    for other in map(form, range(2, 12)):
        coarse = agrees(thumbnail_of(one), thumbnail_of(other))
        assert min(coarse, agrees_finely(one, other) + 0.06) < 0.92
