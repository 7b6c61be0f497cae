"""Look-alike pictures: the share of versions that are found, by kind of picture and what was done to it, and the share
of different pictures that are taken for look-alikes."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from benchmarks.duplicates.alterations import ALTERATIONS, CROPS_OVER_5_PERCENT
from benchmarks.duplicates.drawings import KINDS, pictures
from jaxtyping import Int, UInt8
from PIL import Image

from tunesmith.config.experiment import Leaks
from tunesmith.images.thumbnails import FINE_SIDE, SIDE, thumbnail_of
from tunesmith.split.similar_images import alike_pairs

Thumbs = tuple[UInt8[np.ndarray, "picture 96 96"], UInt8[np.ndarray, "picture 256 256"]]
"""Coarse and fine thumbnails of the same pictures."""


def table(records: int, pairs: int, seed: int) -> str:
    """Both tables as Markdown: `records` different pictures in all, `pairs` versions of each kind and alteration. The
    pictures are the same for every `seed`."""
    each = max(pairs, records // len(KINDS))
    with ProcessPoolExecutor() as pool:
        own = dict(zip(KINDS, pool.map(_originals, KINDS, [each] * len(KINDS)), strict=True))
        changed = dict(zip(KINDS, pool.map(_versions, KINDS, [pairs] * len(KINDS)), strict=True))
    return "\n\n".join([_false_alarms(own), _found(own, changed, pairs)])


def _originals(kind: str, count: int) -> Thumbs:
    return _thumbnails(pictures(kind, count))


def _thumbnails(some: list[Image.Image]) -> Thumbs:
    coarse, fine = ([thumbnail_of(one, side) for one in some] for side in (SIDE, FINE_SIDE))
    return np.stack(coarse), np.stack(fine)


def _pairs(groups: list[Thumbs]) -> Int[np.ndarray, "pair 2"]:
    """The pairs that look alike among all pictures of these groups, at the default."""
    coarse, fine = (np.concatenate(one) for one in zip(*groups, strict=True))
    least = Leaks().pictures
    assert least is not None
    return alike_pairs(coarse, lambda number: fine[number], least)


def _versions(kind: str, count: int) -> dict[str, Thumbs]:
    """Of each alteration, the versions of the first pictures of a kind."""
    some = pictures(kind, count)
    return {name: _thumbnails([alter(one) for one in some]) for name, alter in ALTERATIONS.items()}


def _false_alarms(own: dict[str, Thumbs]) -> str:
    kind_of = np.repeat(np.arange(len(KINDS)), [len(own[kind][0]) for kind in KINDS])
    start = time.perf_counter()
    found = _pairs([own[kind] for kind in KINDS])
    seconds = time.perf_counter() - start
    alarmed = np.bincount(kind_of[np.unique(found)], minlength=len(KINDS))
    lines = [
        f"| {kind} | {len(own[kind][0]):,} | {count} | {100 * count / len(own[kind][0]):.2f} % |"
        for kind, count in zip(KINDS, alarmed.tolist(), strict=True)
    ]
    head = "| kind | different pictures | taken for look-alikes | share |\n|---|---|---|---|"
    return "\n".join([head, *lines, "", f"{len(kind_of):,} pictures were compared in {seconds:.0f} s."])


def _found(own: dict[str, Thumbs], changed: dict[str, dict[str, Thumbs]], pairs: int) -> str:
    """Versions are looked for among `pairs` originals of every kind and all their versions of one alteration."""
    some = [(own[kind][0][:pairs], own[kind][1][:pairs]) for kind in KINDS]
    ends = np.cumsum([0, *(len(coarse) for coarse, _ in some)])
    lines, crops = [], []
    for name in ALTERATIONS:
        found = _pairs([*some, *(changed[kind][name] for kind in KINDS)])
        true = found[found[:, 1] - found[:, 0] == ends[-1]][:, 0]
        shares = [
            100 * ((true >= start) & (true < end)).sum() / (end - start)
            for start, end in itertools.pairwise(ends)
        ]
        crops += shares if name in CROPS_OVER_5_PERCENT else []
        print(f"{name}: " + " ".join(f"{share:.0f}" for share in shares), flush=True)
        lines.append(f"| {name} | " + " | ".join(f"{share:.0f}" for share in shares) + " |")
    head = f"| found, % | {' | '.join(KINDS)} |\n|---|{'---|' * len(KINDS)}"
    return "\n".join([head, *lines, "", f"Crops over 5 %, all kinds: {np.mean(crops):.0f} % found."])
