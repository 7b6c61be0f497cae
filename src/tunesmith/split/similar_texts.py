"""Which records' texts look alike, as pairs that were compared; no pair is inferred from two others."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt64

from tunesmith.records.progress import Report
from tunesmith.split.dedup_keys import DedupKeys
from tunesmith.split.hashing import hash64
from tunesmith.split.minhash import MOST_RARE, AlikeTexts
from tunesmith.split.source_code import skeleton
from tunesmith.split.union_find import Clusters

_NUM_MARKS = 12
_LONG = 30
"""Words from which on other punctuation does not make another text."""
_MOST_FORMS = 32
"""Ways to punctuate the same words that are compared with one another."""


@dataclass(frozen=True, eq=False)
class Alike:
    """Texts that look alike. Records with equal `text` have the same words and the same punctuation marks."""

    text: Int[np.ndarray, " record"]
    """Number of the record's text."""
    pairs: Int[np.ndarray, "pair 2"]
    """Numbers of different texts that look alike, each pair once."""

    def link(self, clusters: Clusters) -> None:
        """Put records that look alike into one cluster."""
        _, first = np.unique(self.text, return_index=True)
        clusters.link(first[self.text], np.arange(len(self.text)))
        clusters.link(first[self.pairs[:, 0]], first[self.pairs[:, 1]])


class AlikeBuilder:
    """Gathers the loose forms of texts, one record after the other."""

    def __init__(self, folder: Path, near: float) -> None:
        self._texts = AlikeTexts(folder, near)
        self._seen: set[int] = set()
        self._programs: dict[int, list[int]] = {}

    def add(self, record: int, loose: int, words: list[str], text: str) -> None:
        """Take in a record's text with its loose form, given as its hash and its words; a loose form that was there
        before is passed over."""
        if loose in self._seen:
            return
        self._seen.add(loose)
        self._texts.add(record, words)
        program = skeleton(text)
        if program is not None:
            self._programs.setdefault(hash64(program), []).append(record)

    def similar_texts(self, keys: DedupKeys, report: Report) -> Alike:
        """All that look alike among the records of `keys`."""
        forms, text = np.unique(np.stack([keys.loose, keys.marks]), axis=1, return_inverse=True)
        pairs = [*_same_words(forms)]
        alike = np.concatenate([self._texts.pairs(report), self._same_programs()])
        near = text.reshape(-1)[np.unique(alike, axis=0)]
        starts = np.searchsorted(forms[0], forms[0][near])
        stops = np.searchsorted(forms[0], forms[0][near], side="right")
        for (low, other_low), (high, other_high) in zip(starts.tolist(), stops.tolist(), strict=True):
            pairs += [(one, other) for one in range(low, high) for other in range(other_low, other_high)]
        return Alike(text.reshape(-1), np.array(pairs, dtype=np.int64).reshape(-1, 2))

    def _same_programs(self) -> Int[np.ndarray, "pair 2"]:
        """Pairs of programs that differ in names only, unless many do."""
        few = (records for records in self._programs.values() if len(records) <= MOST_RARE)
        return np.array([pair for records in few for pair in combinations(records, 2)], np.int64).reshape(
            -1, 2
        )


def _same_words(forms: UInt64[np.ndarray, "2 form"]) -> list[tuple[int, int]]:
    """Pairs of forms with the same words whose punctuation differs in no way that changes the meaning: of the marks
    that are counted, one form has all that the other has."""
    _, starts, sizes = np.unique(forms[0], return_index=True, return_counts=True)
    pairs = []
    for start, size in zip(starts[sizes > 1].tolist(), sizes[sizes > 1].tolist(), strict=True):
        members = range(start, start + size)
        candidates = combinations(members, 2) if size <= _MOST_FORMS else pairwise(members)
        pairs += [
            (one, other) for one, other in candidates if _agree(int(forms[1][one]), int(forms[1][other]))
        ]
    return pairs


def _agree(first: int, second: int) -> bool:
    if first >> 48 >= _LONG:
        return True
    places = range(0, 4 * _NUM_MARKS, 4)
    more = any((first >> place & 15) > (second >> place & 15) for place in places)
    return not (more and any((first >> place & 15) < (second >> place & 15) for place in places))
