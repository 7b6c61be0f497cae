import threading

import numpy as np
from PIL import Image

from tests.images.made import scene
from tunesmith.images.thumbnails import FINE_SIDE, SIDE, Thumbnails, thumbnail_of


def test_a_thumbnail_is_the_picture_in_grey():
    image = scene(3, 400, 300)
    expected = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS), float)
    assert np.abs(thumbnail_of(image) - expected).max() <= 4


def test_thumbnails_that_many_threads_add_come_back_by_their_pictures(tmp_path):
    kept = Thumbnails(tmp_path / "thumbnails")
    images = {f"{number:016x}{'f' * 48}": scene(number) for number in range(24)}
    names = list(images)

    def add(start):
        for name in names[start::4]:
            kept.add(name, images[name])

    threads = [threading.Thread(target=add, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wanted = names[::-2]
    found = kept.coarse(np.array([int(name[:16], 16) for name in wanted], np.uint64))
    assert np.array_equal(found, np.stack([thumbnail_of(images[name]) for name in wanted]))
    for number, name in enumerate(wanted):
        saved = kept.fine(number).astype(float) - thumbnail_of(images[name], FINE_SIDE)
        assert np.abs(saved).mean() < 1
