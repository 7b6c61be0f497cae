from __future__ import annotations

import pytest
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from tunesmith.config.experiment import Pixels
from tunesmith.errors import DataError, ModelError
from tunesmith.images.picture import Picture
from tunesmith.model.families._image_processor import ImageProcessorConfig

FILE = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "patch_size": 16, "merge_size": 2}
PICTURE = Picture("a.png", "0" * 64, 640, 480, "0" * 16)


def test_what_a_file_does_not_say_is_what_transformers_takes() -> None:
    image_processor = ImageProcessorConfig.from_file(
        Pixels(), {"image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    )
    assert (image_processor.patch_size, image_processor.merge_size) == (14, 2)
    placed = image_processor.place("a:1", PICTURE, 0)
    assert (placed.height, placed.width) == (476, 644)


@pytest.mark.parametrize(
    "limits", [{"max_pixels": 64 * 64}, {"size": {"longest_edge": 64 * 64, "shortest_edge": 1024}}]
)
def test_limits_are_read_in_either_form(limits: dict[str, object]) -> None:
    placed = ImageProcessorConfig.from_file(Pixels(), {**FILE, **limits}).place("a:1", PICTURE, 3)
    assert (placed.start, placed.rows, placed.columns) == (3, 1, 2)


def test_the_experiment_goes_before_the_file() -> None:
    placed = ImageProcessorConfig.from_file(Pixels(size=(64, 96)), FILE).place("a:1", PICTURE, 0)
    assert (placed.width, placed.height, placed.num_tokens, placed.num_patches) == (64, 96, 6, 24)


@pytest.mark.parametrize(
    "pixels", [{}, {"max": 40000}, {"min": 90000}, {"min": 20000, "max": 50000}, {"max": 1000}]
)
def test_the_file_that_is_written_gives_the_sizes_of_training_without_the_experiment(
    pixels: dict[str, int],
) -> None:
    for file in (
        {},
        {"min_pixels": 10000, "max_pixels": 80000},
        {"size": {"longest_edge": 64 * 64, "shortest_edge": 99}},
    ):
        ours = ImageProcessorConfig.from_file(Pixels(**pixels), {**FILE, **file})
        written = ours.trained_file
        assert ours.not_in_file == ""
        theirs = Qwen2VLImageProcessorPil(**written)
        for width, height in ((640, 480), (100, 90), (30, 700)):
            picture = Picture("a.png", "0" * 64, width, height, "0" * 16)
            here = ours.place("a:1", picture, 0)
            assert (
                here.grid == ImageProcessorConfig.from_file(Pixels(), written).place("a:1", picture, 0).grid
            )
            official = theirs(Image.new("RGB", (width, height)))["image_grid_thw"][0]
            assert here.grid == tuple(official[1:])


@pytest.mark.parametrize(
    ("pixels", "said"), [({"longest_side": 448}, "longest side of 448"), ({"size": (64, 96)}, "to 64 x 96")]
)
def test_what_the_file_has_no_words_for_is_said(pixels: dict[str, object], said: str) -> None:
    image_processor = ImageProcessorConfig.from_file(Pixels.model_validate(pixels), FILE)
    assert said in image_processor.not_in_file
    square = Picture("a.png", "0" * 64, 448, 448, "0" * 16)
    if "longest_side" in pixels:
        assert ImageProcessorConfig.from_file(Pixels(), image_processor.trained_file).place(
            "a", square, 0
        ) == image_processor.place("a", square, 0)


def test_a_picture_of_an_impossible_shape_is_named_with_its_record() -> None:
    thin = Picture("thin.png", "0" * 64, 10, 4000, "0" * 16)
    with pytest.raises(DataError, match=r"^a:1: picture thin.png: is 10 x 4000 pixels"):
        ImageProcessorConfig.from_file(Pixels(), FILE).place("a:1", thin, 0)


def test_a_file_without_colours_is_refused() -> None:
    with pytest.raises(ModelError) as caught:
        ImageProcessorConfig.from_file(Pixels(), {"image_mean": [0.5] * 3})
    assert str(caught.value) == (
        "model.path: preprocessor_config.json of the model does not say image_std. Give a model folder with the "
        "file that belongs to it"
    )
