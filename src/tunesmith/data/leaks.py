"""Leaks: records on one side that a more protected side holds too. Test is protected from all, validation
from train."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from tunesmith.data.keys import Keys
from tunesmith.data.sides import Side
from tunesmith.data.store import RecordStore
from tunesmith.errors import DataError

NUM_NAMED = 20
NEAR = "near-duplicate"


@dataclass(frozen=True, eq=False)
class Leaks:
    """Leaking records, each with one record of the protected side that tells the same."""

    records: Int[np.ndarray, "leak"]
    """Index of the record on the less protected side."""
    held: Int[np.ndarray, "leak"]
    """Index of the record on the more protected side."""
    why: tuple[str, ...]
    """What the two have in common."""

    @property
    def num_near(self) -> int:
        """How many are near-duplicates; the others agree exactly in something."""
        return self.why.count(NEAR)

    def named(self, store: RecordStore) -> list[tuple[str, str, str]]:
        """Ids and reason of the first of them."""
        first = zip(self.records[:NUM_NAMED].tolist(), self.held[:NUM_NAMED].tolist(), self.why, strict=False)
        return [(store[record].id, store[held].id, why) for record, held, why in first]


def find(
    keys: Keys, sides: Int[np.ndarray, "record"], near: Int[np.ndarray, "record"] | None = None
) -> Leaks:
    """All leaking records, each once; `near` has equal numbers for near-duplicates."""
    alike = {"same id": keys.id, "same content": keys.content, "same text": keys.text}
    if keys.group is not None:
        alike["same group"] = keys.group
    if near is not None:
        alike[NEAR] = near
    sides = sides.copy()
    records, held, why = [np.empty(0, np.int64)], [np.empty(0, np.int64)], []
    for side in (Side.TEST, Side.VALIDATION):
        for reason, values in alike.items():
            lower = np.flatnonzero((sides < side) & (sides > Side.DROPPED))
            upper = np.flatnonzero(sides == side)
            if not len(upper):
                continue
            upper = upper[np.argsort(values[upper], kind="stable")]
            at = np.minimum(np.searchsorted(values[upper], values[lower]), len(upper) - 1)
            hit = values[upper[at]] == values[lower]
            records.append(lower[hit])
            held.append(upper[at[hit]])
            why += [reason] * int(hit.sum())
            sides[lower[hit]] = Side.DROPPED
    return Leaks(np.concatenate(records), np.concatenate(held), tuple(why))


def refuse(leaks: Leaks, store: RecordStore, advice: str) -> None:
    """DataError that names the first pairs, if there are any."""
    if not leaks.why:
        return
    pairs = [f"  {one} and {other}: {why}" for one, other, why in leaks.named(store)]
    more = [f"  ... and {len(leaks.why) - NUM_NAMED} more"] if len(leaks.why) > NUM_NAMED else []
    raise DataError(
        "\n".join(
            [
                f"data: {len(leaks.why)} records leak (the second of each pair is held out):",
                *pairs,
                *more,
                advice,
            ]
        )
    )
