from __future__ import annotations

import pytest

from tunesmith.evaluate.engines._inference import batches


@pytest.mark.parametrize("padded", [False, True])
def test_every_item_is_in_one_batch_within_the_limit(padded: bool) -> None:
    sizes = [5, 30, 7, 7, 50, 1, 12, 200]
    made = list(batches(sizes, 60, padded))
    assert sorted(index for batch in made for index in batch) == list(range(8))
    assert made[0] == [7]
    for batch in made[1:]:
        counted = [sizes[batch[0]]] * len(batch) if padded else [sizes[index] for index in batch]
        assert sum(counted) <= 60
        assert counted[0] == max(sizes[index] for index in batch)


def test_items_of_one_size_fill_their_batches() -> None:
    assert [len(batch) for batch in batches([10] * 7, 30, padded=True)] == [3, 3, 1]
    assert list(batches([], 30, padded=False)) == []
