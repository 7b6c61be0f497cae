from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from tunesmith.batching.collator import collate
from tunesmith.batching.decode_workers import read_patches
from tunesmith.batching.example import Example, Placed
from tunesmith.config.experiment import Pixels
from tunesmith.errors import DataError
from tunesmith.images.picture import Picture
from tunesmith.images.resize import target_size

LEAST, MOST = 3136, 200_000
SIZES = [(300, 200), (97, 411), (640, 480), (30, 31), (448, 448), (900, 60)]

MakePicture = Callable[..., Placed]


@pytest.fixture
def placed(tmp_path: Path) -> MakePicture:
    """Makes a file with a picture of noise over a slope of colours, placed as the model would see it."""

    def make(width: int, height: int, patch_size: int = 14, form: str = "png") -> Placed:
        chance = np.random.default_rng(width * height)
        slope = np.linspace(0, 200, width)[None, :, None] * np.array([1.0, 0.5, 0.25])
        noise = chance.integers(0, 56, (height, width, 3))
        file = tmp_path / f"{width}x{height}.{form}"
        Image.fromarray((slope + noise).astype(np.uint8)).save(file)
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        picture = Picture(file.name, sha256, width, height, look="0" * 16, root=tmp_path)
        rows, columns = target_size(width, height, Pixels(), patch_size * 2, LEAST, MOST)
        return Placed(picture, 0, rows, columns, patch_size, merge_size=2)

    return make


def official(pictures: list[Placed]) -> tuple[np.ndarray, np.ndarray]:
    """Grids and patches by transformers' processor, which opens the same files; mean 0 and deviation 1."""
    processor = Qwen2VLImageProcessorPil(
        patch_size=pictures[0].patch_size,
        size={"shortest_edge": LEAST, "longest_edge": MOST},
        image_mean=[0.0] * 3,
        image_std=[1.0] * 3,
    )
    images = [Image.open(placed.picture.file) for placed in pictures]
    made = processor(images, return_tensors="np")
    return made["image_grid_thw"], made["pixel_values"]


@pytest.mark.parametrize("form", ["png", "jpg", "webp"])
@pytest.mark.parametrize("patch_size", [14, 16])
def test_every_pixel_is_where_and_what_the_official_processor_makes_it(
    placed: MakePicture, patch_size: int, form: str
) -> None:
    pictures = [placed(*size, patch_size, form) for size in SIZES]
    grids, theirs = official(pictures)
    patches = read_patches(pictures, workers=3)
    assert [one.grid for one in pictures] == [tuple(grid[1:]) for grid in grids]
    in_time = theirs.reshape(len(theirs), 3, 2, -1)
    np.testing.assert_array_equal(in_time[:, :, 0], in_time[:, :, 1])
    np.testing.assert_array_equal(
        patches.reshape(len(patches), 3, -1), np.rint(in_time[:, :, 0] * 255).astype(np.uint8)
    )
    np.testing.assert_allclose(patches.reshape(len(patches), 3, -1) / 255, in_time[:, :, 0], atol=1e-7)


def test_normalised_as_the_model_was_trained_they_are_the_official_values(placed: MakePicture) -> None:
    one = placed(300, 200)
    processor = Qwen2VLImageProcessorPil(size={"shortest_edge": LEAST, "longest_edge": MOST})
    theirs = processor(Image.open(one.picture.file), return_tensors="np")["pixel_values"]
    mean, std = (np.array(values)[:, None, None] for values in (processor.image_mean, processor.image_std))
    patches = read_patches([one], workers=1).reshape(-1, 3, 1, 14 * 14)
    ours = np.repeat((patches / 255 - mean) / std, 2, axis=2).reshape(len(theirs), -1)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_the_number_of_threads_changes_nothing(placed: MakePicture) -> None:
    pictures = [placed(*size) for size in SIZES] * 3
    one_by_one = np.concatenate([read_patches([one], 1) for one in pictures])
    for workers in (1, 2, 5):
        np.testing.assert_array_equal(read_patches(pictures, workers), one_by_one)


def test_a_picture_that_was_turned_by_its_camera_is_cut_as_it_is_looked_at(tmp_path: Path) -> None:
    slope = np.tile(np.linspace(0, 255, 112).astype(np.uint8), (56, 1))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(slope).convert("RGB").save(tmp_path / "a.png", exif=exif)
    sha256 = hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest()
    picture = Picture("a.png", sha256, 56, 112, look="0" * 16, root=tmp_path)
    patches = read_patches([Placed(picture, 0, 4, 2, 14, 2)], workers=1)
    brightness = patches.reshape(4, 2, -1).mean((1, 2))
    assert (np.diff(brightness) > 40).all()


def test_a_batch_holds_the_patches_of_its_pictures_in_the_order_of_their_tokens(placed: MakePicture) -> None:
    pictures = [placed(300, 200), placed(97, 411)]
    examples = [
        Example("a:1", np.arange(one.num_tokens, dtype=np.int32), np.ones(one.num_tokens, bool), None, (one,))
        for one in pictures
    ]
    pixels = collate(examples, workers=2).pixels
    assert pixels is not None
    np.testing.assert_array_equal(pixels.patches.numpy(), read_patches(pictures, 1))


def test_all_files_that_are_gone_or_changed_are_named_at_once(placed: MakePicture) -> None:
    gone, changed, whole = placed(300, 200), placed(97, 411), placed(30, 31)
    gone.picture.file.unlink()
    changed.picture.file.write_bytes(whole.picture.file.read_bytes())
    with pytest.raises(DataError) as error:
        read_patches([gone, whole, changed], workers=2)
    first, *lines, advice = str(error.value).split("\n")
    assert first == "2 pictures cannot be used:"
    assert lines == [
        f"  {gone.picture.file}: cannot be read (No such file or directory).",
        f"  {changed.picture.file}: has changed since the data was prepared (its sha256 is another).",
    ]
    assert advice == "Put back what was there, or remove the prepared data and prepare it again."


def test_one_changed_file_is_said_in_one_line(placed: MakePicture) -> None:
    one = placed(30, 31)
    one.picture.file.write_bytes(b"")
    with pytest.raises(DataError, match=r"30x31\.png: has changed .* is another\)\. Put back what was there"):
        read_patches([one], workers=4)


def test_a_file_that_is_no_picture_is_named_with_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("Not a picture, though it is called one.\n" * 3)
    sha256 = hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest()
    picture = Picture("a.png", sha256, 28, 28, look="0" * 16, root=tmp_path)
    with pytest.raises(DataError, match=r"a\.png: is text, not a picture .*Put back what was there"):
        read_patches([Placed(picture, 0, 1, 1, 14, 2)], workers=1)


def test_of_very_many_faults_the_first_twenty_are_listed(placed: MakePicture) -> None:
    one = placed(30, 31)
    one.picture.file.unlink()
    with pytest.raises(DataError, match=r"^25 pictures cannot be used:\n(?:  .*\n){20}  \.\.\. and 5 more\n"):
        read_patches([one] * 25, workers=2)


def test_without_pillow_it_is_said_how_to_get_it(
    placed: MakePicture, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = placed(300, 200)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(
        DataError, match=r"pillow, which is not installed\. Run `pip install 'tunesmith\[vision\]'`"
    ):
        read_patches([one], workers=1)
