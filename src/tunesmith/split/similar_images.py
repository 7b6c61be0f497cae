"""Pictures that are the same file, or look alike: one is the other, resized, saved again, recoloured, turned,
mirrored, inverted, framed or cropped. Only pairs that were laid over one another and agree are linked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Int, UInt8

from tunesmith.images.thumbnails import Thumbnails
from tunesmith.records.progress import Report
from tunesmith.split.dedup_keys import ImageHashes
from tunesmith.split.image_alignment import agreement, aligned
from tunesmith.split.image_candidates import Candidate, Placement, candidates
from tunesmith.split.union_find import Clusters

_FINER = 0.06
"""How much less agreement is asked for in fine thumbnails, which show noise and blur as well."""


def _unheard(what: str, done: int) -> None:
    """A report that nobody hears."""


def versions(
    seen: ImageHashes,
    least: float | None = None,
    thumbnails: Thumbnails | None = None,
    report: Report = _unheard,
) -> Int[np.ndarray, " picture"]:
    """Equal numbers for pictures that are the same file or, if thumbnails are given, look alike: each agrees with
    another one of its number by at least `least` (0 to 1)."""
    files, file_of = np.unique(seen.content, return_inverse=True)
    clusters = Clusters(len(files))
    if least is not None and thumbnails is not None:
        pairs = alike_pairs(thumbnails.coarse(files), thumbnails.fine, least, report)
        clusters.link(pairs[:, 0], pairs[:, 1])
    return np.asarray(clusters.roots()[file_of], dtype=np.int64)


def alike_pairs(
    coarse: UInt8[np.ndarray, "picture 96 96"],
    fine: Callable[[int], UInt8[np.ndarray, "256 256"]],
    least: float,
    report: Report = _unheard,
) -> Int[np.ndarray, "pair 2"]:
    """Numbers of the pictures of each pair that looks alike, each pair once. `fine` gives a fine thumbnail by the
    number of its picture; it is asked for those alone that look alike in coarse ones."""
    import cv2

    num_threads = cv2.getNumThreads()
    # Thumbnails are too small for several threads to gain anything.
    cv2.setNumThreads(1)
    found: set[tuple[int, int]] = set()
    try:
        for one in candidates(coarse, report):
            pair = (min(one.outer, one.whole), max(one.outer, one.whole))
            if pair not in found and any(
                _agree(one, placed, coarse, fine, least) for placed in one.placements
            ):
                found.add(pair)
    finally:
        cv2.setNumThreads(num_threads)
    return np.array(sorted(found), dtype=np.int64).reshape(-1, 2)


def _agree(
    one: Candidate,
    placed: Placement,
    coarse: UInt8[np.ndarray, "picture 96 96"],
    fine: Callable[[int], UInt8[np.ndarray, "256 256"]],
    least: float,
) -> bool:
    """True if the two pictures agree in coarse and then in fine thumbnails."""
    outer, whole = coarse[one.outer], coarse[one.whole]
    warp = aligned(outer, whole, placed)
    if warp is None or agreement(outer, whole, placed, warp) < least:
        return False
    return agreement(fine(one.outer), fine(one.whole), placed, warp) >= least - _FINER


def link(clusters: Clusters, seen: ImageHashes, pictures: Int[np.ndarray, " picture"]) -> None:
    """Put records that show versions of one picture into one cluster; `pictures` are the numbers of `versions`."""
    _, first, which = np.unique(pictures, return_index=True, return_inverse=True)
    clusters.link(seen.record[first][which], seen.record)
