"""Chooses which clusters of records are held out.

Every record has a place between 0 and 1, which is a keyed hash of what decides its side (its group, its picture, or
what it asks). A share of 0.1 holds out the records whose place is below 0.1. The place of a record depends on nothing
else, so other columns, other labels and other records leave it where it is. A cluster has the place of its first
record.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt64

from tunesmith.errors import DataError, ExperimentError, counted
from tunesmith.split.hashing import mix
from tunesmith.split.sides import Side

_TOLERANCE = 0.2
"""How far, as a share of what is asked, a number of records may be off before records are moved."""
_MANY = 30
"""With at least this many records, 2.5 standard deviations of chance are allowed, so records almost never move."""
_MOST = 0.45
"""But not more than this share of what is asked."""


@dataclass(frozen=True)
class Amount:
    """How many records a held-out side shall have."""

    side: Side
    number: int
    share: float | None
    """What was asked for as a share of all records; None if a number was."""
    setting: str
    """Name of the setting."""


def wanted(side: Side, where: str, amount: float, total: int) -> Amount:
    """The number of records that an amount means: below 1 a share (at least one record), from 1 on itself.
    ExperimentError if a number is not whole, DataError if it is more than there is."""
    if amount < 1:
        return Amount(side, max(1, round(amount * total)) if amount else 0, amount, where)
    if not float(amount).is_integer():
        raise ExperimentError(
            f"{where}: {amount:g} is neither a share (below 1) nor a whole number of records."
        )
    if amount >= total:
        raise DataError(
            f"{where}: {counted(int(amount), 'record is', 'records are')} wanted, but there "
            f"{'is' if total == 1 else 'are'} {total:,}, and some must be left to train on."
        )
    return Amount(side, int(amount), None, where)


def places(keys: UInt64[np.ndarray, " record"], seed: int) -> Float[np.ndarray, " record"]:
    """Numbers from 0 to 1 by a keyed hash, the same for equal keys."""
    return mix(keys ^ mix(np.array([seed % 2**64], np.uint64))) / 2.0**64


@dataclass(frozen=True, eq=False)
class Choice:
    """What the choice of held-out records goes by; one row a record that is free to be on any side."""

    key: UInt64[np.ndarray, " record"]
    """Hash of what decides the record's side."""
    cluster: Int[np.ndarray, " record"]
    """Records with equal numbers stay on one side."""
    stratum: Int[np.ndarray, " record"]
    """Records with equal numbers are spread evenly over the sides; counts from 0."""
    seed: int

    def sides(self, amounts: list[Amount], why: str = "") -> Int[np.ndarray, " record"]:
        """The side of each record; what is not chosen is for training. DataError, with `why` records belong together,
        if clusters are too large for it."""
        sides = np.full(len(self.key), Side.TRAIN)
        left = 1.0
        for place, amount in enumerate(amounts):
            clusters = self._free(sides, self.seed + place)
            if amount.share is None:
                chosen = _take(clusters, self.stratum.tolist(), self._quotas(amount.number))
            else:
                # A later side is a share of what the earlier ones leave.
                chosen = self._below(clusters, amount, min(1.0, amount.share / left) if left > 0 else 0.0)
                left -= amount.share
            got = sum(map(len, chosen))
            largest = max((len(one.members) for one in clusters), default=0)
            _refuse_coarse(amount, got, largest, why)
            for members in chosen:
                sides[members] = amount.side
        return sides

    def adjusted(
        self, sides: Int[np.ndarray, " record"], amounts: list[Amount]
    ) -> Int[np.ndarray, " adjusted"]:
        """Records that are on another side than their place and the shares give, because a side or a stratum would
        have had too many or too few records. Other records can bring them back to it; those of a number of records
        are not counted."""
        by_place = np.full(len(self.key), Side.TRAIN)
        left = 1.0
        for number, amount in enumerate(amounts):
            if amount.share is None:
                return np.zeros(0, np.int64)
            share = min(1.0, amount.share / left) if left > 0 else 0.0
            left -= amount.share
            for cluster in self._free(by_place, self.seed + number):
                if cluster.place < share:
                    by_place[cluster.members] = amount.side
        return np.flatnonzero(by_place != sides)

    def _free(self, sides: Int[np.ndarray, " record"], seed: int) -> list[_Cluster]:
        """Clusters for training, in the order of their places, each with its members."""
        _, names = np.unique(self.cluster, return_inverse=True)
        order = np.argsort(names, kind="stable")
        bounds = np.flatnonzero(np.diff(names[order], prepend=-1))
        place = places(self.key[order[bounds]], seed)
        groups = np.split(order, bounds[1:]) if len(order) else []
        made = [
            _Cluster(float(place[at]), groups[at].tolist()) for at in np.lexsort((bounds, place)).tolist()
        ]
        return [one for one in made if sides[one.members[0]] == Side.TRAIN]

    def _below(self, clusters: list[_Cluster], amount: Amount, share: float) -> list[list[int]]:
        """Members of the clusters whose place is below the share; those next to it are added or taken away where the
        number of records, in all or of a stratum, is off by more than a fifth and more than one record."""
        sizes = np.bincount(self.stratum)
        if amount.share is None or not amount.number:
            return []
        asked = sizes * amount.share
        lengths = np.array([len(one.members) for one in clusters], np.int64)
        size = float((lengths**2).sum() / max(1, lengths.sum()))
        limit = _Limits(asked, _slack(asked, size), float(_slack(asked.sum(keepdims=True), size)[0]))
        most = asked.sum() + limit.slack_of_all
        chosen = [one.members for one in clusters if one.place < share and len(one.members) <= most]
        total = self._counts([member for members in chosen for member in members], len(asked))
        if limit.is_met(total):
            return chosen
        kept = []
        for members in reversed(chosen):
            counts = self._counts(members, len(asked))
            if limit.is_over(total, counts):
                total -= counts
            else:
                kept.append(members)
        for one in clusters:
            if limit.is_met(total):
                break
            counts = self._counts(one.members, len(asked))
            if (one.place >= share or len(one.members) > most) and limit.is_under(total, counts):
                total += counts
                kept.append(one.members)
        return kept

    def _counts(self, members: list[int], num_strata: int) -> Int[np.ndarray, " stratum"]:
        return np.bincount(self.stratum[np.array(members, np.int64)], minlength=num_strata)

    def _quotas(self, count: int) -> list[int]:
        """How many records of each stratum make up `count`: by largest remainder, ties by hash."""
        sizes = np.bincount(self.stratum)
        exact = sizes * (count / max(1, sizes.sum()))
        quotas = np.floor(exact).astype(int)
        ties = mix(np.arange(len(sizes), dtype=np.uint64) ^ np.uint64(self.seed % 2**64))
        first = np.lexsort((ties, quotas - exact))[: count - quotas.sum()]
        quotas[first] += 1
        return list(quotas.tolist())


@dataclass(frozen=True, eq=False)
class _Limits:
    """How many records of each stratum a side may have."""

    asked: Float[np.ndarray, " stratum"]
    slack: Float[np.ndarray, " stratum"]
    slack_of_all: float

    def is_met(self, total: Int[np.ndarray, " stratum"]) -> bool:
        """True if no stratum, nor all of them together, has too many or too few records."""
        few = (total < self._least) | (total > self.asked + self.slack)
        is_near = abs(total.sum() - self.asked.sum()) <= self.slack_of_all
        return bool(not few.any() and total.sum() >= 1 and is_near)

    @property
    def _least(self) -> Float[np.ndarray, " stratum"]:
        return np.maximum(self.asked - self.slack, np.minimum(1.0, np.floor(self.asked)))

    def is_over(self, total: Int[np.ndarray, " stratum"], cluster: Int[np.ndarray, " stratum"]) -> bool:
        """True if a stratum of the cluster has too many records, and not too few without the cluster."""
        left = total - cluster
        touched = cluster > 0
        over = (total > self.asked + self.slack) & touched
        fits = left >= np.floor(self.asked - self.slack)
        many = total.sum() > self.asked.sum() + self.slack_of_all
        enough = left.sum() >= self.asked.sum() - self.slack_of_all
        return bool((over.any() or (many and enough)) and fits[touched].all())

    def is_under(self, total: Int[np.ndarray, " stratum"], cluster: Int[np.ndarray, " stratum"]) -> bool:
        """True if a stratum of the cluster has too few records, and not too many with the cluster."""
        more = total + cluster
        touched = cluster > 0
        under = (total < self._least) & touched
        few = total.sum() < max(1, self.asked.sum() - self.slack_of_all)
        fits = more <= np.ceil(self.asked + self.slack)
        return bool(
            (under.any() or few)
            and (fits[touched].all() or total.sum() == 0)
            and more.sum() <= self.asked.sum() + self.slack_of_all
        )


def _slack(asked: Float[np.ndarray, "*any"], size: float) -> Float[np.ndarray, "*any"]:
    """How far a number of records may be off, in clusters of about that size."""
    chance = np.where(asked >= _MANY, np.minimum(2.5 * np.sqrt(asked * size), _MOST * asked), 0.0)
    return np.maximum(np.maximum(1.0, asked * _TOLERANCE), chance)


@dataclass(frozen=True)
class _Cluster:
    place: float
    members: list[int]


def _take(clusters: list[_Cluster], strata: list[int], need: list[int]) -> list[list[int]]:
    """Clusters that fill the need of every stratum as nearly as they can, first come first served."""
    taken, refused = _fill([one.members for one in clusters], strata, need)
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


def _refuse_coarse(amount: Amount, got: int, largest: int, why: str) -> None:
    if abs(got - amount.number) <= max(amount.number / 2, 1 if got else 0):
        return
    raise DataError(
        f"{amount.setting}: {counted(amount.number, 'record is', 'records are')} wanted, but {got} is the nearest that "
        f"can be had: the largest cluster of records that belong together has {largest}. {why}"
    )
