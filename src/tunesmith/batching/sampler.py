"""In which order a stage sees its examples, and which of them each update takes. Pure functions of the seed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from tunesmith.errors import DataError


def epoch_order(
    num_examples: int,
    seed: int,
    epoch: int,
    sort_by: Sequence[Any] | None = None,
    group_by: Sequence[Any] | None = None,
) -> Int[np.ndarray, " example"]:
    """Indices of the examples in the order of an epoch; every epoch is shuffled differently.

    With `group_by`, examples with equal values are next to each other. With `sort_by`, the examples are then sorted by
    it; the sort is stable, so that equal values stay shuffled. DataError if the values cannot be compared.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(num_examples)
    if group_by is not None:
        groups: dict[str, int] = {}
        written = (json.dumps(value, sort_keys=True, default=repr) for value in group_by)
        group_of = np.array([groups.setdefault(text, len(groups)) for text in written])
        order = order[np.argsort(random.permutation(len(groups))[group_of[order]], kind="stable")]
    if sort_by is None:
        return order
    try:
        return np.array(sorted(order, key=lambda index: sort_by[index]), dtype=order.dtype)
    except TypeError as error:
        kinds = sorted({type(value).__name__ for value in sort_by})
        raise DataError(
            f"order: the field's values cannot be sorted, they are of kinds {', '.join(kinds)}; "
            "order by a field that holds only numbers or only text"
        ) from error


def steps_per_epoch(num_examples: int, examples_per_update: int) -> int:
    """Updates in one epoch; the last one may see fewer examples.

    >>> steps_per_epoch(10, 4)
    3
    """
    return -(-num_examples // examples_per_update)
