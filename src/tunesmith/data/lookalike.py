"""Versions of one picture: the same file, or perceptual hashes that differ in few bits (resized, saved again).

Two hashes that differ in at most d bits agree in one of any d + 1 bands of their bits (the pigeonhole principle:
Norouzi, Punjani and Fleet 2012, "Fast search in Hamming space with multi-index hashing"), so only hashes that share
a band are compared.
"""

from __future__ import annotations

from typing import overload

import numpy as np
from jaxtyping import Int, UInt64

from tunesmith.data.clusters import Clusters
from tunesmith.data.keys import Seen

_BITS = 64
_FEWEST_SET = 16
"""Bits of a hash that are set. The median halves the 64 frequencies, so that 32 are; many fewer mean that most
frequencies are nought (a picture of one colour, or a plain slope), which tells nothing of what is in the picture."""
_MOST_NEIGHBOURS = 2**14
"""Different hashes sharing a band that each is compared with: all of them, but for masses of all but equal ones, which
stay linear."""


@overload
def versions(seen: Seen, bits: int | None) -> Int[np.ndarray, "picture"]: ...
@overload
def versions(seen: Seen | None, bits: int | None) -> Int[np.ndarray, "picture"] | None: ...
def versions(seen: Seen | None, bits: int | None) -> Int[np.ndarray, "picture"] | None:
    """Equal numbers for pictures that are versions of one: the same file or, unless `bits` is none, hashes of which
    each differs from another's in at most so many bits. None if there are no pictures."""
    if seen is None:
        return None
    files, first, file_of = np.unique(seen.content, return_index=True, return_inverse=True)
    clusters = Clusters(len(files))
    looks = seen.look[first]
    telling = np.flatnonzero(np.bitwise_count(looks) >= _FEWEST_SET)
    if bits is not None and len(telling):
        hashes, some, which = np.unique(looks[telling], return_index=True, return_inverse=True)
        clusters.link(telling[some][which], telling)
        near = near_hashes(hashes, bits)
        clusters.link(telling[some], telling[some][near])
    return np.asarray(clusters.roots()[file_of], dtype=np.int64)


def near_hashes(hashes: UInt64[np.ndarray, "hash"], bits: int) -> Int[np.ndarray, "hash"]:
    """Of each of these different hashes, the first of its cluster: each differs from another one of its cluster in at
    most `bits` bits."""
    clusters = Clusters(len(hashes))
    for band in range(bits + 1 if bits else 0):
        # Neighbouring bits are alike in how often they are set: a band takes its bits from all over.
        mask = np.uint64(sum(1 << bit for bit in range(band, _BITS, bits + 1)))
        shared = hashes & mask
        order = np.lexsort((hashes, shared))
        sorted_hashes, sorted_shared = hashes[order], shared[order]
        at = np.arange(len(hashes))
        for step in range(1, _MOST_NEIGHBOURS + 1):
            at = at[at + step < len(hashes)]
            at = at[sorted_shared[at] == sorted_shared[at + step]]
            if not len(at):
                break
            apart = np.bitwise_count(sorted_hashes[at] ^ sorted_hashes[at + step])
            close = at[apart <= bits]
            clusters.link(order[close], order[close + step])
    return clusters.roots()


def link(clusters: Clusters, seen: Seen, pictures: Int[np.ndarray, "picture"]) -> None:
    """Put records that show versions of one picture into one cluster; `pictures` are the numbers of `versions`."""
    _, first, which = np.unique(pictures, return_index=True, return_inverse=True)
    clusters.link(seen.record[first][which], seen.record)
