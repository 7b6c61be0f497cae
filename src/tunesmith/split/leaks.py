"""Leaks: records on one side that a more protected side holds too. Test is protected from all, validation
from train."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Shaped

from tunesmith.errors import DataError, counted
from tunesmith.records.store import RecordStore
from tunesmith.split.dedup_keys import DedupKeys
from tunesmith.split.sides import Side
from tunesmith.split.similar_texts import Alike

NUM_NAMED = 20
NEAR = "nearly the same text"
PICTURE = "same picture"
ALIKE = "pictures look alike"


@dataclass(frozen=True, eq=False)
class LeakingRecords:
    """Leaking records, each with one record of the protected side that tells the same."""

    records: Int[np.ndarray, " leak"]
    """Index of the record on the less protected side."""
    held: Int[np.ndarray, " leak"]
    """Index of the record on the more protected side."""
    why: tuple[str, ...]
    """What the two have in common."""

    @property
    def num_near(self) -> int:
        """How many are near-duplicates."""
        return self.why.count(NEAR)

    @property
    def num_pictures(self) -> int:
        """How many have a picture in common, or versions of one; those that are left agree exactly in something."""
        return self.why.count(PICTURE) + self.why.count(ALIKE)

    def named(self, store: RecordStore) -> list[tuple[str, str, str]]:
        """Ids and reason of the first of them."""
        first = zip(self.records[:NUM_NAMED].tolist(), self.held[:NUM_NAMED].tolist(), self.why, strict=False)
        return [(store[record].id, store[held].id, why) for record, held, why in first]


def find(
    keys: DedupKeys,
    sides: Int[np.ndarray, " record"],
    alike: Alike | None = None,
    pictures: Int[np.ndarray, " picture"] | None = None,
) -> LeakingRecords:
    """All leaking records, each once; `alike` says which texts look alike, and `pictures`, a row for each of
    `keys.images`, has equal numbers for versions of one picture."""
    each = np.arange(len(keys.id))
    equal = {
        "same id": (each, keys.id),
        "same content": (each, keys.content),
        "same text": (each, keys.text),
    }
    if keys.group is not None:
        equal["same group"] = (each, keys.group)
    if keys.images is not None and pictures is not None:
        equal[PICTURE] = (keys.images.record, keys.images.content)
        equal[ALIKE] = (keys.images.record, pictures)
    sides = sides.copy()
    records, held, why = [np.empty(0, np.int64)], [np.empty(0, np.int64)], []
    for side in (Side.TEST, Side.VALIDATION):
        for reason, (owners, values) in equal.items():
            found, protected = _hits(owners, values, sides, side)
            records.append(found)
            held.append(protected)
            why += [reason] * len(found)
            sides[found] = Side.DROPPED
        if alike is not None:
            found, protected = _near_hits(alike, sides, side)
            records.append(found)
            held.append(protected)
            why += [NEAR] * len(found)
            sides[found] = Side.DROPPED
    return LeakingRecords(np.concatenate(records), np.concatenate(held), tuple(why))


def _hits(
    owners: Int[np.ndarray, " value"],
    values: Shaped[np.ndarray, " value"],
    sides: Int[np.ndarray, " record"],
    side: Side,
) -> tuple[Int[np.ndarray, " leak"], Int[np.ndarray, " leak"]]:
    """Records of less protected sides with a value that a record of this side has too, and one such record each."""
    lower = np.flatnonzero((sides[owners] < side) & (sides[owners] > Side.DROPPED))
    upper = np.flatnonzero(sides[owners] == side)
    if not len(upper):
        return upper, upper
    upper = upper[np.argsort(values[upper], kind="stable")]
    at = np.minimum(np.searchsorted(values[upper], values[lower]), len(upper) - 1)
    hit = values[upper[at]] == values[lower]
    records, first = np.unique(owners[lower[hit]], return_index=True)
    return records, owners[upper[at[hit]]][first]


def _near_hits(
    alike: Alike, sides: Int[np.ndarray, " record"], side: Side
) -> tuple[Int[np.ndarray, " leak"], Int[np.ndarray, " leak"]]:
    """Records of less protected sides whose text looks like one of this side, and one such record each."""
    num = int(alike.text.max(initial=-1)) + 1
    of_text = np.full(num, -1)
    holders = np.flatnonzero(sides == side)[::-1]
    of_text[alike.text[holders]] = holders
    holder = of_text.copy()
    both = np.concatenate([alike.pairs, alike.pairs[:, ::-1]])
    both = both[(of_text[both[:, 1]] >= 0) & (of_text[both[:, 0]] < 0)]
    holder[both[:, 0]] = of_text[both[:, 1]]
    lower = np.flatnonzero((sides < side) & (sides > Side.DROPPED))
    found = lower[holder[alike.text[lower]] >= 0]
    return found, holder[alike.text[found]]


def refuse(leaks: LeakingRecords, store: RecordStore, advice: str) -> None:
    """DataError that names the first pairs, if there are any."""
    if not leaks.why:
        return
    pairs = [f"  {one} and {other}: {why}" for one, other, why in leaks.named(store)]
    more = [f"  ... and {len(leaks.why) - NUM_NAMED} more"] if len(leaks.why) > NUM_NAMED else []
    raise DataError(
        "\n".join(
            [
                f"data: {counted(len(leaks.why), 'record leaks', 'records leak')} "
                "(the second of each pair is held out):",
                *pairs,
                *more,
                advice,
            ]
        )
    )
