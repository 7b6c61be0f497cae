"""Near-duplicates: texts whose sets of word pairs overlap, found by MinHash (Broder 1997) and banding, in
linear time.

A text's signature is 256 minima, of which 16 bits each are kept (Li and König 2010), so that the share of
equal ones estimates the Jaccard similarity with a standard error below 0.02 near 0.9. Texts that agree on all
minima of some band are candidates. A candidate counts if the whole signatures agree often enough; where that
is in doubt, the sets themselves are compared.
"""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, UInt16, UInt64

from tunesmith.data.clusters import Clusters
from tunesmith.data.keys import hash64
from tunesmith.data.normalise import words
from tunesmith.data.progress import Report

NUM_MINIMA = 256
_TEXTS_AT_ONCE = 4096
_PAIRS_AT_ONCE = 2**15
_ROUNDS = 8
"""How many texts of one bucket are compared with all others in it: huge buckets of templated rows stay
linear."""
_FEWEST_PAIRS = 4
_DOUBT = 3.0
"""Standard errors about the threshold within which an estimate does not decide."""
_EXACT_PER_TEXT = 2
"""Candidates that are compared exactly, for each text; if there are more in doubt, the estimate decides."""


def word_pairs(texts: list[list[str]]) -> list[UInt64[np.ndarray, "_"]]:
    """Of each text, given as its words: a hash of every pair of neighbouring words, each once.

    >>> [len(pairs) for pairs in word_pairs([["a", "b", "a", "b", "c"], ["a"]])]
    [3, 0]
    """
    numbers: defaultdict[str, int] = defaultdict(count().__next__)
    told = np.fromiter(map(numbers.__getitem__, chain.from_iterable(texts)), np.int64)
    hashes = np.fromiter(map(hash64, numbers), np.uint64)[told]
    pairs = mix(hashes[:-1] ^ mix(hashes[1:]))
    ends = np.cumsum([len(text) for text in texts]).tolist()
    return [
        np.unique(pairs[end - len(text) : max(0, end - 1)]) for text, end in zip(texts, ends, strict=True)
    ]


def fewest_pairs(near: float) -> int:
    """Word pairs that a text needs for another one to be near it at all: with k pairs, k / (k + 1) is the
    most that a different set can reach. Shorter texts are compared exactly only.

    >>> fewest_pairs(0.9)
    9
    """
    return _FEWEST_PAIRS if near == 1 else max(_FEWEST_PAIRS, math.ceil(near / (1 - near) - 1e-9))


def band_rows(near: float) -> int:
    """Minima in a band: as many as still let 99.5 % of the pairs at the threshold meet in some band.

    >>> band_rows(0.9), band_rows(0.5)
    (13, 3)
    """
    met = (rows for rows in range(64, 1, -1) if 1 - (1 - near**rows) ** (NUM_MINIMA // rows) >= 0.995)
    return next(met, 1)


class Signatures:
    """Signatures and word pairs of the texts that are long enough, gathered on disk one text after the
    other."""

    def __init__(self, folder: Path, near: float) -> None:
        folder.mkdir()
        self._minima_file, self._pairs_file = folder / "minima", folder / "pairs"
        self._near = near
        self._fewest = fewest_pairs(near)
        self._waiting: list[tuple[int, list[str]]] = []
        self._items = array("q")
        self._sizes = array("q")

    def add(self, item: int, normalised: str) -> None:
        """Take in the text of an item, if it is long enough."""
        found = words(normalised)
        if len(found) <= self._fewest:
            return
        self._waiting.append((item, found))
        if len(self._waiting) == _TEXTS_AT_ONCE:
            self._flush()

    def link(self, clusters: Clusters, texts: UInt64[np.ndarray, "item"], report: Report) -> int:
        """Link near-duplicates among items whose texts differ; returns the number of links."""
        self._flush()
        if not self._items:
            return 0
        items = np.array(self._items, dtype=np.int64)
        _, distinct = np.unique(texts[items], return_index=True)
        found = Clusters(len(items))
        search = _Search(
            near=self._near,
            minima=np.memmap(self._minima_file, np.uint16, "r", shape=(len(items), NUM_MINIMA)),
            pairs=np.memmap(self._pairs_file, np.uint64, "r"),
            ends=np.cumsum(np.array(self._sizes, dtype=np.int64)),
            exact_left=_EXACT_PER_TEXT * len(items),
        )
        search.link(np.sort(distinct), found, report)
        clusters.link(items, items[found.roots()])
        return len(items) - len(np.unique(found.roots()))

    def _flush(self) -> None:
        from rensa import RMinHash

        items, texts = [item for item, _ in self._waiting], [text for _, text in self._waiting]
        self._waiting.clear()
        hashed = zip(items, word_pairs(texts), strict=True)
        long = [(item, pairs) for item, pairs in hashed if len(pairs) >= self._fewest]
        if not long:
            return
        self._items.extend(item for item, _ in long)
        sizes = array("q", (len(pairs) for _, pairs in long))
        self._sizes.extend(sizes)
        together = np.concatenate([pairs for _, pairs in long])
        starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.uint64)
        minima = RMinHash.digest_matrix_from_flat_token_hashes(together, starts, NUM_MINIMA, 1).to_rows()
        with self._minima_file.open("ab") as file:
            np.array(minima, dtype=np.uint32).astype(np.uint16).tofile(file)
        with self._pairs_file.open("ab") as file:
            together.tofile(file)


@dataclass
class _Search:
    """The search for near-duplicates among texts 0, 1, ... whose signatures are known."""

    near: float
    minima: UInt16[np.ndarray, "text minimum"]
    pairs: UInt64[np.ndarray, "pair"]
    """Hashes of all word pairs, text after text."""
    ends: Int[np.ndarray, "text"]
    """Where the word pairs of each text end."""
    exact_left: int
    """How many more candidates may be compared exactly."""

    def link(self, texts: Int[np.ndarray, "distinct"], found: Clusters, report: Report) -> None:
        """Link near ones among these texts, band by band."""
        rows = band_rows(self.near)
        for band in range(NUM_MINIMA // rows):
            report("looking for near-duplicates", band + 1)
            keys = _mixed(self.minima, texts, band * rows, rows)
            members, buckets = texts[np.argsort(keys, kind="stable")], np.sort(keys)
            for _ in range(_ROUNDS):
                leads = np.concatenate([[True], buckets[1:] != buckets[:-1]])
                leader = members[leads][np.cumsum(leads) - 1]
                apart = np.flatnonzero(found.roots()[leader] != found.roots()[members])
                near = apart[self._are_near(leader[apart], members[apart])]
                found.link(leader[near], members[near])
                left = found.roots()[leader] != found.roots()[members]
                if not left.any():
                    break
                members, buckets = members[left], buckets[left]

    def _are_near(
        self, first: Int[np.ndarray, "pair"], second: Int[np.ndarray, "pair"]
    ) -> Bool[np.ndarray, "pair"]:
        shares = _agreement(self.minima, first, second)
        near = shares >= self.near
        margin = _DOUBT * math.sqrt(self.near * (1 - self.near) / NUM_MINIMA)
        doubtful = np.flatnonzero(np.abs(shares - self.near) <= margin)[: self.exact_left]
        self.exact_left -= len(doubtful)
        for at, one, other in zip(doubtful, first[doubtful], second[doubtful], strict=True):
            near[at] = self._jaccard(int(one), int(other)) >= self.near
        return near

    def _jaccard(self, one: int, other: int) -> float:
        first, second = self._pairs_of(one), self._pairs_of(other)
        shared = len(np.intersect1d(first, second, assume_unique=True))
        return shared / (len(first) + len(second) - shared)

    def _pairs_of(self, text: int) -> UInt64[np.ndarray, "pair"]:
        return self.pairs[self.ends[text - 1] if text else 0 : self.ends[text]]


def _mixed(
    minima: UInt16[np.ndarray, "text minimum"], texts: Int[np.ndarray, "distinct"], start: int, rows: int
) -> UInt64[np.ndarray, "distinct"]:
    keys = np.zeros(len(texts), np.uint64)
    for column in range(start, start + rows):
        keys = mix(keys ^ minima[:, column][texts].astype(np.uint64))
    return keys


def _agreement(
    minima: UInt16[np.ndarray, "text minimum"],
    first: Int[np.ndarray, "pair"],
    second: Int[np.ndarray, "pair"],
) -> Float[np.ndarray, "pair"]:
    shares = np.empty(len(first))
    for start in range(0, len(first), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        equal: Bool[np.ndarray, "part minimum"] = minima[first[part]] == minima[second[part]]
        shares[part] = equal.mean(axis=1)
    return shares


def mix(values: UInt64[np.ndarray, "*any"]) -> UInt64[np.ndarray, "*any"]:
    """Well-mixed 64-bit hashes of 64-bit numbers (SplitMix64: Steele, Lea and Flood 2014)."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
