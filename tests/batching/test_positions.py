from __future__ import annotations

import numpy as np

from tunesmith.batching.example import Example, Placed
from tunesmith.batching.positions import joined, positions_of
from tunesmith.images.picture import Picture

PICTURE = Picture("a.png", "0" * 64, 640, 480, "0" * 16)


def example(length: int, *pictures: Placed) -> Example:
    return Example("a:1", np.arange(length, dtype=np.int32), np.zeros(length, bool), pictures=pictures)


def test_text_counts_on_one_axis() -> None:
    assert positions_of(example(3)).tolist() == [[0, 1, 2]]


def test_a_picture_counts_rows_and_columns_and_text_goes_on_after_the_longer_side() -> None:
    seen = Placed(PICTURE, start=1, rows=2, columns=3, patch_size=14, merge_size=2)
    assert positions_of(example(9, seen)).tolist() == [
        [0, 1, 1, 1, 1, 1, 1, 4, 5],
        [0, 1, 1, 1, 2, 2, 2, 4, 5],
        [0, 1, 2, 3, 1, 2, 3, 4, 5],
    ]


def test_text_beside_pictures_gets_three_equal_axes() -> None:
    seen = Placed(PICTURE, start=0, rows=1, columns=1, patch_size=14, merge_size=2)
    line = joined([positions_of(example(2)), positions_of(example(2, seen))])
    assert line.tolist() == [[0, 1, 0, 1], [0, 1, 0, 1], [0, 1, 0, 1]]
    assert joined([positions_of(example(2))] * 2).tolist() == [[0, 1, 0, 1]]
