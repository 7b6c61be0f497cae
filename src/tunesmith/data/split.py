"""Chooses which clusters of records are held out: by hash, so that neither the order of rows nor new rows
matter much."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, UInt64

from tunesmith.data.sides import Side
from tunesmith.data.similar import mix
from tunesmith.errors import DataError, ExperimentError, counted


def wanted(where: str, amount: float, total: int) -> int:
    """Number of records that an amount means: below 1 a share (at least one record), from 1 on itself.
    ExperimentError if a number is not whole, DataError if it is more than there is."""
    if amount < 1:
        return max(1, round(amount * total)) if amount else 0
    if not float(amount).is_integer():
        raise ExperimentError(
            f"{where}: {amount:g} is neither a share (below 1) nor a whole number of records."
        )
    if amount >= total:
        raise DataError(
            f"{where}: {counted(int(amount), 'record is', 'records are')} wanted, but there "
            f"{'is' if total == 1 else 'are'} {total:,}, and some must be left to train on."
        )
    return int(amount)


@dataclass(frozen=True, eq=False)
class Choice:
    """What the choice of held-out records goes by; one row a record that is free to be on any side."""

    content: UInt64[np.ndarray, "record"]
    """Hash of the record's content."""
    cluster: Int[np.ndarray, "record"]
    """Records with equal numbers stay on one side."""
    stratum: Int[np.ndarray, "record"]
    """Records with equal numbers are spread evenly over the sides; counts from 0."""
    seed: int

    def sides(self, amounts: list[tuple[Side, int, str]]) -> Int[np.ndarray, "record"]:
        """The side of each record, given each held-out side with its number of records and the name of its
        setting; what is not chosen is for training. DataError if clusters are too large for it."""
        clusters = self._in_order()
        strata = self.stratum.tolist()
        sizes = np.bincount(self.stratum)
        sides = np.full(len(self.content), Side.TRAIN)
        for side, count, setting in amounts:
            taken = _take(clusters, strata, self._quotas(sizes, count))
            _refuse_coarse(setting, count, sum(map(len, taken)), max(map(len, clusters), default=0))
            for members in taken:
                sides[members] = side
            free = (sides == Side.TRAIN).tolist()
            clusters = [members for members in clusters if free[members[0]]]
        return sides

    def _in_order(self) -> list[list[int]]:
        """Members of each cluster, clusters in the order of the hash of their least member."""
        _, names = np.unique(self.cluster, return_inverse=True)
        keys = mix(self.content ^ mix(np.array([self.seed % 2**64], np.uint64)))
        least = np.full(names.max(initial=-1) + 1, np.iinfo(np.uint64).max)
        np.minimum.at(least, names, keys)
        rank = np.argsort(np.argsort(least, kind="stable"))[names]
        members = np.argsort(rank, kind="stable")
        bounds = np.cumsum(np.bincount(rank)).tolist()
        listed = members.tolist()
        return [listed[start:end] for start, end in zip([0, *bounds], bounds, strict=False)]

    def _quotas(self, sizes: Int[np.ndarray, "stratum"], count: int) -> list[int]:
        """How many records of each stratum make up `count`: by largest remainder, ties by hash."""
        exact = sizes * (count / max(1, sizes.sum()))
        quotas = np.floor(exact).astype(int)
        ties = mix(np.arange(len(sizes), dtype=np.uint64) ^ np.uint64(self.seed % 2**64))
        first = np.lexsort((ties, quotas - exact))[: count - quotas.sum()]
        quotas[first] += 1
        return list(quotas.tolist())


def _take(clusters: list[list[int]], strata: list[int], need: list[int]) -> list[list[int]]:
    """Clusters that fill the need of every stratum as nearly as they can, first come first served."""
    taken, refused = _fill(clusters, strata, need)
    if sum(need) > 0:
        more, refused = _approach(refused, strata, need)
        taken += more
    if (missing := sum(need)) > 0:
        for members in refused:
            if len(members) <= missing:
                taken.append(members)
                missing -= len(members)
    return taken


def _fill(
    clusters: list[list[int]], strata: list[int], need: list[int]
) -> tuple[list[list[int]], list[list[int]]]:
    """Clusters that fit into what is needed (which is lessened), and all others."""
    taken, refused = [], []
    for members in clusters:
        for at, member in enumerate(members):
            need[strata[member]] -= 1
            if need[strata[member]] < 0:
                for undone in members[: at + 1]:
                    need[strata[undone]] += 1
                refused.append(members)
                break
        else:
            taken.append(members)
    return taken, refused


def _approach(
    clusters: list[list[int]], strata: list[int], need: list[int]
) -> tuple[list[list[int]], list[list[int]]]:
    """Clusters that do not fit, but bring the numbers nearer to what is needed than they are; and all
    others."""
    taken, refused = [], []
    for members in clusters:
        if not any(need):
            refused.append(members)
            continue
        counts: dict[int, int] = {}
        for member in members:
            counts[strata[member]] = counts.get(strata[member], 0) + 1
        now = sum(abs(need[stratum]) for stratum in counts)
        if sum(abs(need[stratum] - count) for stratum, count in counts.items()) <= now and sum(need) > 0:
            for stratum, count in counts.items():
                need[stratum] -= count
            taken.append(members)
        else:
            refused.append(members)
    return taken, refused


def _refuse_coarse(setting: str, count: int, got: int, largest: int) -> None:
    if abs(got - count) > count / 2:
        raise DataError(
            f"{setting}: {counted(count, 'record is', 'records are')} wanted, but {got} is the nearest that can be "
            f"had: the largest cluster of records that belong together has {largest}. "
            "If they are near-duplicates (rows of one template), set data.leaks.near to null or higher, "
            "or data.split.by to the fields that differ; if their pictures look alike, set data.leaks.pictures "
            "to null or lower; if they are one group, set data.split.group to a finer field."
        )
