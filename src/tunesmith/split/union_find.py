"""Which records belong together: a union-find over arrays, so that millions of links take seconds."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, UInt64


class Clusters:
    """Items 0 to `size` - 1, each a cluster of its own until linked."""

    def __init__(self, size: int) -> None:
        self._parent = np.arange(size)

    def link(self, first: Int[np.ndarray, " pair"], second: Int[np.ndarray, " pair"]) -> None:
        """Put the two items of every pair into one cluster."""
        while len(first):
            one, other = self._parent[first], self._parent[second]
            apart = one != other
            first, second, one, other = first[apart], second[apart], one[apart], other[apart]
            np.minimum.at(self._parent, np.maximum(one, other), np.minimum(one, other))
            self._flatten()

    def link_equal(self, keys: UInt64[np.ndarray, " item"]) -> int:
        """Put items with equal keys into one cluster; returns how many items repeat another one's key."""
        order = np.argsort(keys, kind="stable")
        repeats = np.flatnonzero(keys[order][1:] == keys[order][:-1])
        self.link(order[repeats], order[repeats + 1])
        return len(repeats)

    def roots(self) -> Int[np.ndarray, " item"]:
        """Of each item, the first item of its cluster."""
        return self._parent

    def _flatten(self) -> None:
        while True:
            grandparent = self._parent[self._parent]
            if np.array_equal(grandparent, self._parent):
                return
            self._parent = grandparent
