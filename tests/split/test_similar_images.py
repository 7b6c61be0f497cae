import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.images.made import scene
from tests.split.test_image_alignment import form
from tunesmith.config.experiment import Leaks
from tunesmith.images.thumbnails import FINE_SIDE, Thumbnails, thumbnail_of
from tunesmith.split.dedup_keys import ImageHashes
from tunesmith.split.similar_images import alike_pairs, link, versions
from tunesmith.split.union_find import Clusters

LEAST = Leaks().pictures or 0.0
CHANGES = {
    "smaller": lambda image: image.resize((96, 80), Image.Resampling.LANCZOS),
    "darker": lambda image: image.point(lambda level: int(level * 0.7)),
    "mirrored": ImageOps.mirror,
    "quarter turn": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "inverted": ImageOps.invert,
    "framed": lambda image: ImageOps.expand(image, 10, "white"),
    "cropped": lambda image: image.crop((12, 10, 228, 190)),
    "turned a little": lambda image: image.rotate(2, Image.Resampling.BICUBIC, fillcolor=(128, 128, 128)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_versions_of_a_picture_are_found_and_nothing_else(change):
    images = [scene(number, 240, 200) for number in range(20)]
    images += [CHANGES[change](image) for image in images[:5]]
    found = pairs(images)
    assert found.tolist() == [[number, 20 + number] for number in range(5)]


def test_many_copies_of_one_form_are_not_taken_for_one_another():
    assert not len(pairs([form(number) for number in range(40)]))


def test_the_search_leaves_the_threads_of_opencv_as_they_were():
    before = cv2.getNumThreads()
    pairs([scene(1), scene(1)])
    assert cv2.getNumThreads() == before


def pairs(images):
    """The pairs among pictures that look alike."""
    coarse = np.stack([thumbnail_of(one) for one in images])
    return alike_pairs(coarse, lambda number: thumbnail_of(images[number], FINE_SIDE), LEAST)


def seen(content, record=None):
    record = range(len(content)) if record is None else record
    return ImageHashes(np.array(record), np.array(content, np.uint64), np.zeros(len(content), np.uint64))


def test_versions_are_the_same_file_or_look_alike(tmp_path):
    kept = Thumbnails(tmp_path / "thumbnails")
    files = {3: scene(1), 1: ImageOps.mirror(scene(1)), 2: scene(2)}
    for content, image in files.items():
        kept.add(f"{content:016x}{'0' * 48}", image)
    given = seen([3, 2, 1, 3])
    assert versions(given).tolist() == [2, 1, 0, 2]
    assert versions(given, LEAST, kept).tolist() == [0, 1, 0, 0]


def test_records_that_share_a_picture_are_linked_whatever_else_they_show():
    given = seen([1, 2, 2, 3, 9], record=[0, 0, 3, 3, 4])
    clusters = Clusters(5)
    link(clusters, given, versions(given))
    assert clusters.roots().tolist() == [0, 1, 2, 0, 4]
