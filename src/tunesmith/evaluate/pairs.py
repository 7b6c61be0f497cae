"""The change of a metric's numbers between two evaluations of the same rows: its interval and what exchanges of units
make of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from tunesmith.evaluate.defaults import metric_of
from tunesmith.evaluate.estimates import Estimate, UnitCount, Units, all_estimates_of
from tunesmith.evaluate.intervals import (
    centred_interval,
    concentrated_degrees,
    jackknife_variance,
    share_change_interval,
)
from tunesmith.evaluate.significance import MOST_ENUMERATED, Signs, exchange_p, flip_p, mcnemar_mid_p
from tunesmith.metrics import Outcomes
from tunesmith.metrics._statistics import Count, MeanOfShares, NoInterval, Shares, Sums

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Exchange:
    """What exchanges of whole units make of one number's change."""

    name: str
    change: float
    """The change that is tested; without the steps of a metric that has some."""
    exchanged: Float[np.ndarray, " draw"]
    changed: int
    """Units in which the number's counts are not the same in both evaluations."""
    step: float = 0.0
    """By how much a change of one unit could move the number at most, roughly."""
    rarer: int | None = None
    """Of a share: units that hold an answer of the rarer kind, in both evaluations together."""
    paired: PairedShare | None = None
    deviation: float = math.nan
    """Standard deviation over all exchanges, where it is known; else the drawn ones tell it. Known ones keep numbers
    that are alike exactly alike, so that ties among counts stay ties."""


@dataclass(frozen=True, eq=False)
class PairedShare:
    """A share of the same rows in both evaluations: what each unit gained and lost, of how many."""

    gained: Float[np.ndarray, " unit"]
    lost: Float[np.ndarray, " unit"]
    denominator: Float[np.ndarray, " unit"]


@dataclass(frozen=True, eq=False)
class Pair:
    """One number in both evaluations."""

    name: str
    first: Estimate
    second: Estimate
    exchange: Exchange
    is_exact: bool
    """True if the exchanges are all that there are."""

    @property
    def test(self) -> Literal["mcnemar", "swaps", "sign flips"]:
        """How no change is tested."""
        if self.exchange.paired is not None:
            return "mcnemar" if (self.exchange.paired.denominator <= 1).all() else "sign flips"
        statistic = metric_of(self.name).statistic
        return "swaps" if isinstance(statistic, Shares | MeanOfShares | Sums) else "sign flips"

    def p_alone(self, draws: int, seed: int) -> float:
        """The two-sided p-value of no change, of this number alone."""
        paired = self.exchange.paired
        if paired is not None and self.test == "mcnemar":
            return mcnemar_mid_p(round(paired.gained.sum()), round(paired.lost.sum()))
        if paired is not None and self.exchange.changed <= MOST_ENUMERATED:
            return flip_p(paired.gained - paired.lost, draws, seed)
        return float(exchange_p(self.exchange.change, self.exchange.exchanged, self.is_exact))

    def interval(self) -> tuple[float, float]:
        """95 % limits of the change."""
        paired = self.exchange.paired
        if paired is not None:
            low, high = share_change_interval(paired.gained, paired.lost, paired.denominator)
            return float(low), float(high)
        without = self.second.without - self.first.without
        without = without[~np.isnan(without)]
        if len(without) < 2:
            return math.nan, math.nan
        variance = float(jackknife_variance(without))
        # One more unit that changes: as those that did, and, counted as one of them, by as much as it could.
        variance += (variance + self.exchange.step**2) / (self.exchange.changed + 1)
        bounds = metric_of(self.name).bounds
        most = bounds[1] - bounds[0] if bounds else math.inf
        change = self.second.value - self.first.value
        low, high = centred_interval(change, variance, concentrated_degrees(without), (-most, most))
        return float(low), float(high)


def pairs_of(metric: str, first: Outcomes, second: Outcomes, units: Units, signs: Signs) -> Iterator[Pair]:
    """The numbers of a metric that both evaluations have, one at a time; none of a metric without an interval."""
    statistic = metric_of(metric).statistic
    if isinstance(statistic, NoInterval):
        return
    before, after = (all_estimates_of(metric, outcomes, units) for outcomes in (first, second))
    exchanges: Iterator[Exchange] | None = None
    if isinstance(statistic, Shares):
        exchanges = _share_exchanges(statistic, first, second, units, signs)
    elif isinstance(statistic, MeanOfShares):
        exchanges = _mean_exchanges(statistic, first, second, units, signs)
    elif isinstance(statistic, Sums):
        exchanges = _sum_exchanges(metric, statistic, first, second, units, signs)
    for one, other in zip(before, after, strict=True):
        exchange = next(exchanges) if exchanges is not None else _estimate_exchange(one, other, units, signs)
        if not math.isnan(one.value + other.value):
            yield Pair(one.name, one, other, exchange, signs.is_exact)


def _share_exchanges(
    statistic: Shares, first: Outcomes, second: Outcomes, units: Units, signs: Signs
) -> Iterator[Exchange]:
    for rows in zip(statistic.counts(first), statistic.counts(second), strict=True):
        before, after = (UnitCount.of(one, units) for one in rows)
        changed, sides = _exchanged(before, after, units, signs)
        values = [statistic.value(*side[:3]) for side in sides]
        change = statistic.value(*_totals(after)[:3]) - statistic.value(*_totals(before)[:3])
        yield Exchange(
            before.name,
            float(change),
            values[1] - values[0],
            len(changed),
            step=_step_of_share(before, after),
            rarer=_units_of_rarer(before, after),
            paired=None if statistic.is_f1 else _paired(*rows, units),
            deviation=_deviation(statistic, before, after),
        )


def _mean_exchanges(
    statistic: MeanOfShares, first: Outcomes, second: Outcomes, units: Units, signs: Signs
) -> Iterator[Exchange]:
    """The exchanges of the shares, if they are the metric's too, and of their mean."""
    totals, weights = (np.zeros((2, signs.number + 1)) for _ in range(2))
    any_changed = np.zeros(units.number, bool)
    inverse_sizes, classes = 0.0, 0
    for rows in zip(statistic.shares.counts(first), statistic.shares.counts(second), strict=True):
        before, after = (UnitCount.of(one, units) for one in rows)
        changed, sides = _exchanged(before, after, units, signs)
        any_changed[changed] = True
        values = np.zeros((2, signs.number + 1))
        for side, (drawn, measured) in enumerate(zip(sides, (before, after), strict=True)):
            # As exchanged, and as it was measured last.
            numerator, denominator, seen, size = (
                np.append(*both) for both in zip(drawn, _totals(measured), strict=True)
            )
            values[side] = statistic.shares.value(numerator, denominator, seen)
            counts = np.where(seen > 0, size if statistic.by_size else 1.0, 0.0)
            totals[side] += counts * np.nan_to_num(values[side])
            weights[side] += counts
        step = _step_of_share(before, after)
        inverse_sizes, classes = inverse_sizes + step, classes + (step > 0)
        if statistic.with_shares:
            change = values[1] - values[0]
            rarer = _units_of_rarer(before, after)
            deviation = _deviation(statistic.shares, before, after)
            yield Exchange(
                before.name, float(change[-1]), change[:-1], len(changed), step, rarer, deviation=deviation
            )
    means = totals / np.where(weights > 0, weights, np.nan)
    change = means[1] - means[0]
    step = math.sqrt(inverse_sizes / max(units.number, 1)) / max(classes, 1)
    yield Exchange(statistic.name, float(change[-1]), change[:-1], int(any_changed.sum()), step)


def _sum_exchanges(
    metric: str, statistic: Sums, first: Outcomes, second: Outcomes, units: Units, signs: Signs
) -> Iterator[Exchange]:
    before, after = (units.sums(statistic.columns(outcomes)) for outcomes in (first, second))
    difference = after - before
    changed = np.flatnonzero((difference != 0).any(1))
    middle = (before.sum(0) + after.sum(0)) / 2
    half = signs.sums(units.place[changed], difference[changed]) / 2
    # Of those that did not change the signed sum is none, and of the others all signs keep is the change itself.
    smooth = statistic.smooth or statistic.values
    low, high = smooth(middle - half), smooth(middle + half)
    start, end = smooth(before.sum(0)), smooth(after.sum(0))
    for name in statistic.values(middle):
        change = float(end[name] - start[name])
        step = _step(metric, smooth(before.sum(0) - before)[name], units)
        yield Exchange(name, change, high[name] - low[name], len(changed), step)


def _estimate_exchange(before: Estimate, after: Estimate, units: Units, signs: Signs) -> Exchange:
    """Flips of what each unit, or block of units, adds to the change (its pseudo-value: Tukey 1958)."""
    without, change = after.without - before.without, after.value - before.value
    blocks = len(without)
    added = np.nan_to_num(blocks * change - (blocks - 1) * without)
    changed = np.flatnonzero(np.abs(added) > 0)
    flipped = signs.sums(units.place[changed], added[changed, None])[:, 0] / blocks
    step = _step(before.name, before.without, units)
    return Exchange(before.name, float(added.mean()), flipped, len(changed), step)


def _step(metric: str, without: Array, units: Units) -> float:
    """What a change by the whole range of the metric does, or, where it has no limits, by the deviation between units.
    In groups it is between that of a record and that of a unit."""
    bounds = metric_of(metric).bounds
    if bounds is not None:
        return (bounds[1] - bounds[0]) / math.sqrt(max(units.number, 1) * max(len(units.index), 1))
    known = without[~np.isnan(without)]
    return math.sqrt(float(jackknife_variance(known)) / len(known)) if len(known) > 1 else 0.0


def _deviation(statistic: Shares, before: UnitCount, after: UnitCount) -> float:
    """Standard deviation of a share's change over all exchanges of units, linearised in numerator and denominator half
    way between both evaluations; NaN where nothing is counted there."""
    numerator, denominator = (
        (one.sum() + other.sum()) / 2
        for one, other in ((before.numerator, after.numerator), (before.denominator, after.denominator))
    )
    if denominator <= 0:
        return math.nan
    by_part, by_whole = 1 / denominator, -numerator / denominator**2
    if statistic.is_f1:
        by_part, by_whole = (
            2 * denominator / (numerator + denominator) ** 2,
            -2 * numerator / (numerator + denominator) ** 2,
        )
    each = by_part * (after.numerator - before.numerator) + by_whole * (
        after.denominator - before.denominator
    )
    return math.sqrt(float((each**2).sum()))


def _step_of_share(before: UnitCount, after: UnitCount) -> float:
    """What one more answer that counts does to a share; 0 of nothing."""
    denominators = np.maximum(before.denominator, after.denominator)
    total, units = denominators.sum(), (denominators > 0).sum()
    return 1 / math.sqrt(total * units) if units else 0.0


def _exchanged(
    before: UnitCount, after: UnitCount, units: Units, signs: Signs
) -> tuple[Array, tuple[list[Array], list[Array]]]:
    """The units whose counts changed, and numerator, denominator, seen and size of both evaluations by exchange."""
    columns = [
        np.stack([one.numerator, one.denominator, one.seen, one.size], axis=1) for one in (before, after)
    ]
    difference = columns[1] - columns[0]
    changed = np.flatnonzero((difference != 0).any(1))
    middle = (columns[0].sum(0) + columns[1].sum(0)) / 2
    half = signs.sums(units.place[changed], difference[changed]) / 2
    return changed, (list((middle - half).T), list((middle + half).T))


def _totals(count: UnitCount) -> list[float]:
    return [float(one.sum()) for one in (count.numerator, count.denominator, count.seen, count.size)]


def _units_of_rarer(before: UnitCount, after: UnitCount) -> int:
    holds = (before.numerator > 0) | (after.numerator > 0)
    lacks = (before.denominator > before.numerator) | (after.denominator > after.numerator)
    return int(min(holds.sum(), lacks.sum()))


def _paired(before: Count, after: Count, units: Units) -> PairedShare | None:
    """What each unit gained and lost, if the same rows are counted, each once, in both evaluations."""
    if (before.denominator != after.denominator).any() or (before.denominator > 1).any():
        return None
    gained, lost = (
        np.maximum(after.numerator - before.numerator, 0.0),
        np.maximum(before.numerator - after.numerator, 0.0),
    )
    return PairedShare(*(units.sums(column) for column in (gained, lost, before.denominator)))
