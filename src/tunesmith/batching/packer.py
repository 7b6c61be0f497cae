"""Which examples share a micro-batch: laid end to end, up to a number of tokens, nothing padded and nothing cut."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Bins of indices into `lengths`, each of at most `capacity` tokens, by best-fit decreasing (Johnson 1974).

    An example longer than the capacity is a bin of its own. The bins stand in the order of their first index, and
    indices within a bin ascend, so equal input gives equal output.

    >>> pack([5, 3, 4, 2], capacity=8)
    [[0, 1], [2, 3]]
    """
    bins: list[list[int]] = []
    rooms: list[tuple[int, int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        tightest = bisect_left(rooms, (lengths[index], -1))
        if tightest < len(rooms):
            room, number = rooms.pop(tightest)
            bins[number].append(index)
        else:
            room, number = max(capacity, lengths[index]), len(bins)
            bins.append([index])
        insort(rooms, (room - lengths[index], number))
    return sorted(sorted(members) for members in bins)
