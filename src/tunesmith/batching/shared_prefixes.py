"""Shared prefixes: the common start of several examples, such as an instruction or a picture, is computed only once.

Each of the examples continues the prefix; losses and gradients are the same as without sharing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from tunesmith.batching.example import Example
from tunesmith.batching.positions import positions_of

FEWEST = 16
"""Fewest tokens of a prefix that is worth sharing."""
_OF_PICTURES = 2**40
"""Beyond all token ids."""


@dataclass(frozen=True)
class PrefixGroup:
    """Examples with a common prefix. An example that shares no prefix is a group of its own, with an empty prefix."""

    members: tuple[int, ...]
    prefix: int
    """Number of tokens in the common prefix; none of them is trained."""

    def tokens(self, lengths: Sequence[int]) -> int:
        """Tokens of the group, the prefix counted once; `lengths` are those of all examples."""
        return sum(lengths[member] for member in self.members) - (len(self.members) - 1) * self.prefix

    def split(self, capacity: int, lengths: Sequence[int]) -> Iterator[PrefixGroup]:
        """Split the group so that no part exceeds `capacity` tokens; a single longer member is a part of its own."""
        some: list[int] = []
        for member in self.members:
            if some and PrefixGroup((*some, member), self.prefix).tokens(lengths) > capacity:
                yield PrefixGroup(tuple(some), self.prefix)
                some = []
            some.append(member)
        yield PrefixGroup(tuple(some), self.prefix)


def prefix_groups(examples: Sequence[Example]) -> list[PrefixGroup]:
    """The examples in groups of siblings such that least tokens are laid out, in the order of their first members.

    PrefixGroup are neighbours when examples are sorted by their tokens, so the best way to cut that order is
    found from its beginning on.
    """
    seen: dict[tuple[object, ...], int] = {}
    heads = [_shareable(example, seen) for example in examples]
    order = sorted(range(len(examples)), key=lambda index: heads[index].tobytes())
    alike = [_common(heads[index], heads[following]) for index, following in pairwise(order)]
    groups = [
        PrefixGroup(tuple(sorted(order[start:end])), prefix)
        for start, end, prefix in _best_cuts(alike, len(order))
    ]
    return sorted(groups, key=lambda group: group.members[0])


class Piece(NamedTuple):
    """What one segment of a line is made of."""

    example: Example
    """An example, a prefix, or the rest of an example after its prefix; positions of pictures are within the piece."""
    positions: Int64[np.ndarray, "axis token"]
    continues: int
    """Index of the piece that this one continues, or -1."""
    end_of: int
    """Index of the example that ends with it; -1 for a prefix."""


def pieces_of(examples: Sequence[Example], share: bool) -> list[Piece]:
    """The examples as pieces; with `share`, each common prefix once, followed by the rest of its examples."""
    if not share:
        return [Piece(example, positions_of(example), -1, number) for number, example in enumerate(examples)]
    pieces: list[Piece] = []
    for group in prefix_groups(examples):
        prefix, start = len(pieces), group.prefix
        if start:
            first = examples[group.members[0]]
            pieces.append(Piece(_cut(first, 0, start), positions_of(first)[:, :start], -1, -1))
        for member in group.members:
            example = examples[member]
            rest = _cut(example, start, len(example)) if start else example
            after = positions_of(example)[:, start:]
            pieces.append(Piece(rest, after, prefix if start else -1, member))
    return pieces


def _cut(example: Example, start: int, end: int) -> Example:
    """The part of an example from one token to another, with the pictures in it."""
    pictures = tuple(
        replace(placed, start=placed.start - start)
        for placed in example.pictures
        if start <= placed.start < end
    )
    return replace(
        example, tokens=example.tokens[start:end], trained=example.trained[start:end], pictures=pictures
    )


def _best_cuts(alike: Sequence[int], number: int) -> list[tuple[int, int, int]]:
    """Runs of neighbours (first, one after the last, tokens in common) that save most, given what each has in common
    with the next."""
    saved, last = [0] * (number + 1), list(range(number))
    common = [0] * number
    for end in range(1, number + 1):
        saved[end], last[end - 1] = saved[end - 1], end - 1
        beginning: int | None = None
        for start in range(end - 2, -1, -1):
            beginning = alike[start] if beginning is None else min(beginning, alike[start])
            if beginning < FEWEST:
                break
            saving = saved[start] + (end - start - 1) * beginning
            if saving > saved[end]:
                saved[end], last[end - 1], common[end - 1] = saving, start, beginning
    runs, end = [], number
    while end:
        start = last[end - 1]
        runs.append((start, end, common[end - 1] if end - start > 1 else 0))
        end = start
    return runs


def _shareable(example: Example, seen: dict[tuple[object, ...], int]) -> Int64[np.ndarray, " token"]:
    """The tokens before the first trained one, big-endian so that they sort as bytes; a picture's tokens are replaced
    by a number that is its own, as `seen` says. At least one token is left over."""
    trained = np.flatnonzero(example.trained)
    end = min(int(trained[0]) if len(trained) else len(example), len(example) - 1)
    tokens = example.tokens.astype(">i8")
    for placed in example.pictures:
        if placed.start + placed.num_tokens > end:
            end = min(end, placed.start)
        looks = (placed.picture.sha256, placed.grid, placed.patch_size, placed.merge_size)
        tokens[placed.start :][: placed.num_tokens] = _OF_PICTURES + seen.setdefault(looks, len(seen))
    return tokens[:end]


def _common(first: Int64[np.ndarray, " _"], second: Int64[np.ndarray, " _"]) -> int:
    """Length of the common prefix of two sequences."""
    shorter = min(len(first), len(second))
    differ = np.flatnonzero(first[:shorter] != second[:shorter])
    return int(differ[0]) if len(differ) else shorter
