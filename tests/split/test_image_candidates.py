import numpy as np
import pytest
from PIL import Image, ImageOps
from scipy.fft import dctn

from tests.images.made import scene
from tunesmith.images.thumbnails import SIDE, thumbnail_of
from tunesmith.split.image_candidates import WHOLE, candidates, spectra

TURNS = [None, *Image.Transpose]


def quiet(what, done):
    pass


def of(images):
    return np.stack([thumbnail_of(one) for one in images])


def test_the_frequencies_of_a_whole_picture_are_those_of_scipy():
    thumbnail = thumbnail_of(scene(1))
    expected = dctn(thumbnail.astype(float), norm="ortho")[:8, :8]
    expected[0, 0] = 0
    assert np.allclose(
        spectra(thumbnail[None], [WHOLE])[0, 0], expected / np.linalg.norm(expected), atol=1e-4
    )


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("inverted", [False, True])
def test_a_turned_mirrored_or_inverted_picture_is_a_candidate_with_the_turn_that_it_took(turn, inverted):
    images = [scene(number) for number in range(12)]
    changed = images[4] if turn is None else images[4].transpose(turn)
    images.append(ImageOps.invert(changed) if inverted else changed)
    found = {(one.outer, one.whole): one for one in candidates(of(images), quiet)}
    placement = found[4, 12].placements[0]
    assert (placement.crop, placement.inverted) == (WHOLE, inverted)


@pytest.mark.parametrize("cut", [(0.05, 0.05, 0.05, 0.05), (0, 0.1, 0, 0), (0.1, 0, 0.02, 0.08)])
def test_a_crop_is_a_candidate_of_what_it_was_cut_from(cut):
    images = [scene(number, 200, 200) for number in range(12)]
    left, right, top, bottom = (round(200 * share) for share in cut)
    images.append(images[4].crop((left, top, 200 - right, 200 - bottom)))
    assert (4, 12) in {(one.outer, one.whole) for one in candidates(of(images), quiet)}


def test_pictures_of_one_colour_and_single_pictures_have_no_candidates():
    plain = np.full((5, SIDE, SIDE), 90, np.uint8)
    plain[2:] += np.arange(3, dtype=np.uint8)[:, None, None]
    assert not list(candidates(plain, quiet))
    assert not list(candidates(of([scene(1)]), quiet))
    assert not list(candidates(np.empty((0, SIDE, SIDE), np.uint8), quiet))
