"""Finds texts that look alike: candidates by MinHash, each of which is then compared exactly.

Every text becomes two sets of hashes: its words (a word that occurs twice counts twice) and its shingles, three
neighbouring words or, in scripts without spaces, three neighbouring characters. Shingles that more than `most_shared`
texts have are boilerplate (a prompt, a form, a template): they neither make candidates nor count as evidence.

Candidates are pairs whose MinHash signatures (Broder 1997) of the other shingles agree in one of 64 bands of two
minima: 99.9 % of the pairs with a Jaccard similarity of 1/3, 93 % at 1/5. A bucket of a band holds no more texts than
`most_shared`, so the number of candidates grows linearly with the number of texts. What `_Rule` asks of a candidate is
computed from the sets themselves, not estimated.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int, UInt16, UInt64

from tunesmith.records.progress import Report
from tunesmith.split.hashing import hash64, mix

NUM_MINIMA = 128
BAND_ROWS = 2
SHINGLE_WORDS = 3
MOST_RARE = 10
"""Texts that may share a shingle that still tells them from all others; of fewer than 100 texts, a tenth."""
FEWEST_WORDS = 5
"""Shorter texts look like another only if their loose forms are equal."""
_TEXTS_AT_ONCE = 4096
_PAIRS_AT_ONCE = 2**14
_HASHES_AT_ONCE = 2**22
_COUNTERS = 2**25
_EMPTY = 0
_FLAGS = 7
_NUMBER, _OPERATOR, _SUFFIX = 1, 2, 4
_FEW_WORDS = 8
"""Of fewer words each one tells: "How many cats are there in Rome?" and "... in Oslo?" are two questions."""
_LONG, _FEW = 100, 10
"""Texts of at least this many words, with at most one number in this many, are not told apart by a number alone."""


class AlikeTexts:
    """Texts gathered on disk one after the other, and the pairs of them that look alike."""

    def __init__(self, folder: Path, near: float) -> None:
        folder.mkdir()
        self._near = near
        self._folder = folder
        self._words, self._shingles = _Sets(folder / "words"), _Sets(folder / "shingles")
        self._waiting: list[tuple[int, list[str]]] = []
        self._items = array("q")

    def add(self, item: int, words: list[str]) -> None:
        """Take in the words of an item's loose form, if there are enough of them. No two items may have the same."""
        if len(words) < FEWEST_WORDS:
            return
        self._waiting.append((item, words))
        if len(self._waiting) == _TEXTS_AT_ONCE:
            self._flush()

    def pairs(self, report: Report) -> Int[np.ndarray, "pair 2"]:
        """All pairs of items that were found to look alike, the smaller item first, each pair once."""
        self._flush()
        items = np.array(self._items, dtype=np.int64)
        if len(items) < 2:
            return np.empty((0, 2), np.int64)
        counts = _Counts.of(self._shingles, len(items))
        minima = self._minima(counts)
        rule = _Rule(self._near, self._words, self._shingles, counts)
        looked_at = np.empty(0, np.int64)
        found = [np.empty(0, np.int64)]
        num_bands = NUM_MINIMA // BAND_ROWS
        for band in range(num_bands):
            report("looking for near-duplicates", band + 1)
            new = np.setdiff1d(_candidates(minima, band, len(items)), looked_at, assume_unique=True)
            looked_at = np.union1d(looked_at, new)
            for start in range(0, len(new), _PAIRS_AT_ONCE):
                pairs = new[start : start + _PAIRS_AT_ONCE]
                found.append(pairs[rule.holds(*np.divmod(pairs, len(items)))])
        both = items[np.stack(np.divmod(np.concatenate(found), len(items)), axis=1)]
        return np.sort(both, axis=1)

    def _flush(self) -> None:
        if not self._waiting:
            return
        self._items.extend(item for item, _ in self._waiting)
        words = [words for _, words in self._waiting]
        self._waiting.clear()
        hashes, ends = word_hashes(words), np.cumsum([len(text) for text in words])
        self._words.add(counted_words(hashes, ends), ends)
        self._shingles.add(*shingles(hashes, ends))

    def _minima(self, counts: _Counts) -> UInt16[np.ndarray, "text minimum"]:
        """Of each text, 16 bits of each minimum of its shingles that are not boilerplate; of a text without any,
        numbers that agree with no other's."""
        from rensa import RMinHash

        path = self._folder / "minima"
        with path.open("ab") as file:
            for start, stop in self._shingles.parts():
                hashes, sizes = self._shingles.between(start, stop)
                told = counts.count(hashes) <= counts.most_shared
                ends = np.cumsum(
                    np.concatenate([[0], np.add.reduceat(told, np.cumsum(sizes) - sizes, dtype=np.int64)])
                )
                rows = RMinHash.digest_matrix_from_flat_token_hashes(
                    hashes[told], ends.astype(np.uint64), NUM_MINIMA, 1
                ).to_rows()
                minima = np.array(rows, dtype=np.uint32).astype(np.uint16)
                empty = np.flatnonzero(ends[1:] == ends[:-1])
                own = mix(
                    (start + empty).astype(np.uint64)[:, None] * np.uint64(NUM_MINIMA)
                    + np.arange(NUM_MINIMA, dtype=np.uint64)
                )
                minima[empty] = own.astype(np.uint16)
                minima.tofile(file)
        return np.memmap(path, np.uint16, "r", shape=(len(self._items), NUM_MINIMA))


def word_hashes(texts: list[list[str]]) -> UInt64[np.ndarray, " word"]:
    """A hash of every word, text after text. Of its lowest three bits one is set for a number, one for a sign or an
    operator, one for what is written to the end of a word as in C#."""
    known: dict[str, int] = {}
    words = list(chain.from_iterable(texts))
    for word in set(words):
        flags = 0
        if any(map(str.isdigit, word)) and not word[0].isalpha():
            flags = _NUMBER
        elif not word[0].isalnum():
            flags = _OPERATOR | (_SUFFIX if word in ("#", "+", "++") else 0)
        known[word] = hash64(word) & ~_FLAGS | flags
    return np.fromiter(map(known.__getitem__, words), np.uint64, len(words))


def counted_words(
    hashes: UInt64[np.ndarray, " word"], ends: Int[np.ndarray, " text"]
) -> UInt64[np.ndarray, " word"]:
    """The words of each text in the order of their hashes, the second of two equal ones with another hash than the
    first, and so on; their lowest three bits stay."""
    text = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    order = np.lexsort((hashes, text))
    words = hashes[order]
    new = np.concatenate([[True], (words[1:] != words[:-1]) | (text[order][1:] != text[order][:-1])])
    place = np.arange(len(words)) - np.flatnonzero(new)[np.cumsum(new) - 1]
    flags = words & np.uint64(_FLAGS)
    numbered = mix(words + mix(place.astype(np.uint64))) & ~np.uint64(_FLAGS) | flags
    return numbered[np.lexsort((numbered, text))]


def shingles(
    hashes: UInt64[np.ndarray, " word"], ends: Int[np.ndarray, " text"]
) -> tuple[UInt64[np.ndarray, " shingle"], Int[np.ndarray, " text"]]:
    """A hash of every `SHINGLE_WORDS` neighbouring words of each text, each once and in order, and where those of each
    text end. Beyond its ends a text has empty words, so that each of its words is in as many shingles."""
    hashes, ends = _padded(hashes, ends)
    made = hashes[: len(hashes) - SHINGLE_WORDS + 1]
    for place in range(1, SHINGLE_WORDS):
        made = mix(made ^ mix(hashes[place : len(hashes) - SHINGLE_WORDS + 1 + place]) + np.uint64(place))
    text = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))[: len(made)]
    within = np.arange(len(made)) + SHINGLE_WORDS <= ends[text]
    made, text = made[within], text[within]
    order = np.lexsort((made, text))
    made, text = made[order], text[order]
    new = np.concatenate([[True], (made[1:] != made[:-1]) | (text[1:] != text[:-1])])[: len(made)]
    return made[new], np.cumsum(np.bincount(text[new], minlength=len(ends)))


def _padded(
    hashes: UInt64[np.ndarray, " word"], ends: Int[np.ndarray, " text"]
) -> tuple[UInt64[np.ndarray, " padded"], Int[np.ndarray, " text"]]:
    more = 2 * (SHINGLE_WORDS - 1) * (np.arange(len(ends)) + 1)
    padded = np.full(len(hashes) + 2 * (SHINGLE_WORDS - 1) * len(ends), _EMPTY, np.uint64)
    text = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    padded[np.arange(len(hashes)) + 2 * (SHINGLE_WORDS - 1) * text + SHINGLE_WORDS - 1] = hashes
    return padded, ends + more


class _Sets:
    """One set of hashes for each text, in order, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sizes = array("q")

    def add(self, hashes: UInt64[np.ndarray, "hash"], ends: Int[np.ndarray, " text"]) -> None:
        """Append the sets of some texts."""
        self._sizes.extend(np.diff(ends, prepend=0).tolist())
        with self._path.open("ab") as file:
            hashes.tofile(file)

    @cached_property
    def _hashes(self) -> UInt64[np.ndarray, "hash"]:
        return np.memmap(self._path, np.uint64, "r")

    @cached_property
    def _ends(self) -> Int[np.ndarray, " text"]:
        return np.cumsum(np.concatenate([[0], np.array(self._sizes, dtype=np.int64)]))

    def parts(self) -> Iterator[tuple[int, int]]:
        """Texts from and to which there are no more than some millions of hashes, or a single text."""
        start = 0
        while start < len(self._sizes):
            most = self._ends[start] + _HASHES_AT_ONCE
            stop = max(start + 1, int(np.searchsorted(self._ends, most, side="right")) - 1)
            yield start, stop
            start = stop

    def between(self, start: int, stop: int) -> tuple[UInt64[np.ndarray, "hash"], Int[np.ndarray, " text"]]:
        """The hashes of these texts and how many each has."""
        return np.array(self._hashes[self._ends[start] : self._ends[stop]]), np.diff(
            self._ends[start : stop + 1]
        )

    def sizes(self, texts: Int[np.ndarray, " pair"]) -> Int[np.ndarray, " pair"]:
        """The number of hashes of each of these texts."""
        return self._ends[texts + 1] - self._ends[texts]

    def of(
        self, texts: Int[np.ndarray, " pair"]
    ) -> tuple[UInt64[np.ndarray, "hash"], Int[np.ndarray, "hash"]]:
        """The hashes of these texts, and the place in `texts` of the one that each belongs to."""
        sizes = self.sizes(texts)
        owner = np.repeat(np.arange(len(texts)), sizes)
        at = (
            np.arange(len(owner))
            - np.repeat(np.cumsum(sizes) - sizes, sizes)
            + np.repeat(self._ends[texts], sizes)
        )
        return self._hashes[at], owner


@dataclass(frozen=True, eq=False)
class _Counts:
    """In how many texts a shingle is, and what follows from it."""

    table: UInt16[np.ndarray, " counter"]
    """Counters by the lowest bits of a hash; two shingles rarely share one."""
    most_rare: int
    """Most texts that have a shingle that still tells two texts apart from others."""
    most_shared: int
    """Most texts that have a shingle that is not boilerplate."""

    @staticmethod
    def of(sets: _Sets, num_texts: int) -> _Counts:
        """Counted over all texts."""
        table = np.zeros(_COUNTERS, np.uint16)
        for part in sets.parts():
            hashes, _ = sets.between(*part)
            places, counts = np.unique(hashes & np.uint64(_COUNTERS - 1), return_counts=True)
            table[places] = np.minimum(table[places] + counts, np.iinfo(np.uint16).max)
        return _Counts(table, min(MOST_RARE, max(3, num_texts // 10)), min(50, max(4, num_texts // 4)))

    def count(self, hashes: UInt64[np.ndarray, "hash"]) -> UInt16[np.ndarray, "hash"]:
        """In how many texts each shingle is."""
        return self.table[hashes & np.uint64(_COUNTERS - 1)]


def _candidates(minima: UInt16[np.ndarray, "text minimum"], band: int, num: int) -> Int[np.ndarray, " pair"]:
    """Pairs of texts that agree in a band, as first * num + second, in order."""
    keys = np.zeros(num, np.uint64)
    for column in range(band * BAND_ROWS, (band + 1) * BAND_ROWS):
        keys = keys * np.uint64(2**16) + minima[:, column]
    keys = keys.astype(np.uint32)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    pairs = [np.empty(0, np.int64)]
    at, step = np.arange(num), 0
    while len(at):
        step += 1
        at = at[at + step < num]
        at = at[keys[at] == keys[at + step]]
        pairs.append(order[at] * num + order[at + step])
    return np.unique(np.concatenate(pairs))


@dataclass(frozen=True, eq=False)
class _Rule:
    """What two texts must have in common to look alike."""

    near: float
    words: _Sets
    shingles: _Sets
    counts: _Counts

    def holds(
        self, first: Int[np.ndarray, " pair"], second: Int[np.ndarray, " pair"]
    ) -> Bool[np.ndarray, " pair"]:
        """Whether each pair looks alike: most words in common, or nearly all of the shorter text's; what they share is
        not boilerplate; and they do not differ by an exchanged number or operator."""
        found = self._share_enough(first, second)
        at = np.flatnonzero(found)
        found[at] = self._have_the_same_words(first[at], second[at])
        return found

    def _share_enough(
        self, first: Int[np.ndarray, " pair"], second: Int[np.ndarray, " pair"]
    ) -> Bool[np.ndarray, " pair"]:
        """By shingles: what two texts share must weigh more than what each has of its own."""
        hashes, owner, shared = _intersection(self.shingles, first, second)
        others, other_owner = self.shingles.of(second)
        counts, other_counts = self.counts.count(hashes), self.counts.count(others)

        def tally(which: Bool[np.ndarray, "hash"]) -> Int[np.ndarray, " pair"]:
            return np.bincount(owner[which], minlength=len(first))

        rare = counts <= self.counts.most_rare
        num_shared, rare_shared = tally(shared), tally(shared & rare)
        telling = tally(shared & (counts <= self.counts.most_shared))
        sizes = self.shingles.sizes(first), self.shingles.sizes(second)
        own = np.minimum(*sizes) - num_shared
        own_rare = tally(rare) - rare_shared
        other_rare = (
            np.bincount(other_owner[other_counts <= self.counts.most_rare], minlength=len(first))
            - rare_shared
        )
        natural = (num_shared - telling) * 2 < num_shared
        evidence = rare_shared >= np.where(natural, 0.7, 2.2) * own
        # Versions of a text that has many: each adds something, the text itself has nothing of its own.
        version = (np.minimum(own_rare, other_rare) == 0) & (telling >= own)
        return (telling > 0) & (evidence | version) & (num_shared >= 0.4 * np.minimum(*sizes))

    def _have_the_same_words(
        self, first: Int[np.ndarray, " pair"], second: Int[np.ndarray, " pair"]
    ) -> Bool[np.ndarray, " pair"]:
        """By words: similarity of the whole, or containment of the shorter text in the longer one."""
        hashes, owner, shared = _intersection(self.words, first, second)
        others, other_owner = self.words.of(second)

        def tally(which: Bool[np.ndarray, "hash"]) -> Int[np.ndarray, " pair"]:
            return np.bincount(owner[which], minlength=len(first))

        num_shared = tally(shared)
        sizes = self.words.sizes(first), self.words.sizes(second)
        less, more = np.minimum(*sizes), np.maximum(*sizes)
        similar = (num_shared >= self.near * more - 1e-9) & (more >= _FEW_WORDS)
        contained = (
            (num_shared >= max(0.9, self.near) * less - 1e-9) & (less >= _FEW_WORDS) & (less >= 0.3 * more)
        )

        def own(
            flag: int,
        ) -> tuple[Int[np.ndarray, " pair"], Int[np.ndarray, " pair"], Int[np.ndarray, " pair"]]:
            """How many such words only the first text has, how many only the second, and how many there are in both."""
            ours, theirs = (hashes & np.uint64(flag)) > 0, (others & np.uint64(flag)) > 0
            common = tally(shared & ours)
            mine, other = (
                tally(ours) - common,
                np.bincount(other_owner[theirs], minlength=len(first)) - common,
            )
            return mine, other, mine + other + 2 * common

        numbers, other_numbers, all_numbers = own(_NUMBER)
        operators, other_operators, _ = own(_OPERATOR)
        suffixes, other_suffixes, _ = own(_SUFFIX)
        changed = (
            (numbers > 0) & (other_numbers > 0) & ~((less >= _LONG) & (all_numbers * _FEW <= less + more))
        )
        changed |= (operators > 0) & (other_operators > 0)
        changed |= (suffixes + other_suffixes > 0) & (
            suffixes + other_suffixes == less + more - 2 * num_shared
        )
        return (similar | contained) & ~changed


def _intersection(
    sets: _Sets, first: Int[np.ndarray, " pair"], second: Int[np.ndarray, " pair"]
) -> tuple[UInt64[np.ndarray, "hash"], Int[np.ndarray, "hash"], Bool[np.ndarray, "hash"]]:
    """The hashes of the first text of each pair, the pair of each hash, and whether the second text has it too."""
    hashes, owner = sets.of(first)
    others, other_owner = sets.of(second)
    keyed = hashes ^ mix(owner.astype(np.uint64))
    other_keyed = np.sort(others ^ mix(other_owner.astype(np.uint64)))
    if not len(other_keyed):
        return hashes, owner, np.zeros(len(hashes), bool)
    at = np.minimum(np.searchsorted(other_keyed, keyed), len(other_keyed) - 1)
    return hashes, owner, other_keyed[at] == keyed
