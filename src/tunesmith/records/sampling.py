"""Fixed samples of records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")


def fixed_sample(items: Sequence[Item], size: int | None, seed: int) -> Sequence[Item]:
    """At most `size` items in their own order; the same ones for the same seed and number of items."""
    if size is None or size >= len(items):
        return items
    chosen = np.random.default_rng([seed, len(items)]).permutation(len(items))[:size].tolist()
    return [items[index] for index in sorted(chosen)]
