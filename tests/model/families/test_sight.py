from __future__ import annotations

import pytest

from tunesmith.config.experiment import Pixels
from tunesmith.data.picture import Picture
from tunesmith.errors import DataError, ModelError
from tunesmith.model.families._sight import Sight

FILE = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "patch_size": 16, "merge_size": 2}
PICTURE = Picture("a.png", "0" * 64, 640, 480, "0" * 16)


def test_what_a_file_does_not_say_is_what_transformers_takes() -> None:
    sight = Sight.of(Pixels(), {"image_mean": [0.5] * 3, "image_std": [0.25] * 3})
    assert (sight.patch_size, sight.merge_size) == (14, 2)
    placed = sight.place("a:1", PICTURE, 0)
    assert (placed.height, placed.width) == (476, 644)


@pytest.mark.parametrize(
    "limits", [{"max_pixels": 64 * 64}, {"size": {"longest_edge": 64 * 64, "shortest_edge": 1024}}]
)
def test_limits_are_read_in_either_form(limits: dict[str, object]) -> None:
    placed = Sight.of(Pixels(), {**FILE, **limits}).place("a:1", PICTURE, 3)
    assert (placed.start, placed.rows, placed.columns) == (3, 1, 2)


def test_the_experiment_goes_before_the_file() -> None:
    placed = Sight.of(Pixels(size=(64, 96)), FILE).place("a:1", PICTURE, 0)
    assert (placed.width, placed.height, placed.num_tokens, placed.num_patches) == (64, 96, 6, 24)


def test_a_picture_of_an_impossible_shape_is_named_with_its_record() -> None:
    thin = Picture("thin.png", "0" * 64, 10, 4000, "0" * 16)
    with pytest.raises(DataError, match=r"^a:1: picture thin.png: is 10 x 4000 pixels"):
        Sight.of(Pixels(), FILE).place("a:1", thin, 0)


def test_a_file_without_colours_is_refused() -> None:
    with pytest.raises(ModelError) as caught:
        Sight.of(Pixels(), {"image_mean": [0.5] * 3})
    assert str(caught.value) == (
        "model.path: preprocessor_config.json of the model does not say image_std. Give a model folder with the "
        "file that belongs to it"
    )
