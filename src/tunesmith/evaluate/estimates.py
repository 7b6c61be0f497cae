"""A metric's numbers on the rows of an evaluation, each with what it is without every unit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from tunesmith.errors import counted
from tunesmith.evaluate.defaults import function_of, metric_of
from tunesmith.evaluate.intervals import (
    FEWEST_OF_RARER,
    bounded_interval,
    centred_interval,
    concentrated_degrees,
    design_effect,
    f1_of_share,
    jackknife_centre,
    jackknife_variance,
    kish,
    share_interval,
    student,
    tells_little,
    units_of_rarer,
    wilson,
)
from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._statistics import Count, MeanOfShares, Median, NoInterval, Shares, Sums

Array = np.ndarray
FEWEST_UNITS = 6
"""Of fewer no exchange of units is rare enough for a verdict, and only a plain share has an interval."""
_MOST_BLOCKS = 500
"""Most blocks of units that are left out in turn for a metric that is any function of rows."""
_NORMAL_WIDTH = 3.92


@dataclass(frozen=True, eq=False)
class Units:
    """Which unit each row belongs to."""

    index: Int[np.ndarray, " row"]
    number: int
    place: Int[np.ndarray, " unit"]
    """Of each unit, among the units of all rows that these rows are taken from."""

    @staticmethod
    def of(names: Sequence[str]) -> Units:
        """The units of rows by their names, in the order in which they first occur."""
        places: dict[str, int] = {}
        index = [places.setdefault(name, len(places)) for name in names]
        return Units(np.array(index, int), len(places), np.arange(len(places)))

    def some(self, rows: Sequence[int]) -> Units:
        """The units of some of the rows, which keep their places among the units of all."""
        kept, index = np.unique(self.index[np.asarray(rows, int)], return_inverse=True)
        return Units(index, len(kept), self.place[kept])

    def sums(self, columns: Float[np.ndarray, " row *column"]) -> Float[np.ndarray, " unit *column"]:
        """Sums of columns over the rows of each unit."""
        if self.number == len(self.index):
            return columns
        found = np.zeros((self.number, *columns.shape[1:]))
        np.add.at(found, self.index, columns)
        return found

    @property
    def are_records(self) -> bool:
        """True if every row is a unit of its own."""
        return self.number == len(self.index)


@dataclass(frozen=True, eq=False)
class UnitShare:
    """What a share counts in each unit."""

    numerator: Float[np.ndarray, " unit"]
    denominator: Float[np.ndarray, " unit"]
    is_f1: bool

    def interval(self) -> tuple[float, float]:
        """Its 95 % limits; NaN where there is nothing to count."""
        low, high = share_interval(self.numerator, self.denominator)
        if self.is_f1:
            low, high = f1_of_share(low), f1_of_share(high)
        return float(low), float(high)


@dataclass(frozen=True, eq=False)
class Estimate:
    """One number of a metric."""

    name: str
    value: float
    without: Float[np.ndarray, " block"]
    """Its value without each unit, or without each block of units."""
    units: Units
    share: UnitShare | None = None
    """What it counts, if it is a share."""
    has_bias: bool = False
    """True for a number that rare classes pull down, so that its interval is centred on what is left without that."""
    floor: float = 0.0
    """Variance that the jackknife cannot see in a mean of shares: what a share's own interval allows beyond it."""
    limits: tuple[float, float] | None = None
    """Its interval, if it has one of its own kind."""

    def interval(self) -> Interval:
        """Its 95 % interval."""
        return _interval_of(self, metric_of(self.name))


@dataclass(frozen=True)
class Interval:
    """95 % limits, or why there are none."""

    low: float
    high: float
    reason: str | None = None
    corrected: float | None = None


def estimates_of(metric: str, outcomes: Outcomes, units: Units) -> Iterator[Estimate]:
    """The numbers of a metric, without those that do not exist for these rows."""
    return (one for one in all_estimates_of(metric, outcomes, units) if not math.isnan(one.value))


def all_estimates_of(metric: str, outcomes: Outcomes, units: Units) -> Iterator[Estimate]:
    """The numbers of a metric, NaN where one does not exist for these rows: the same names for any rows."""
    statistic = metric_of(metric).statistic
    if isinstance(statistic, Shares):
        return _share_estimates(statistic, outcomes, units)
    if isinstance(statistic, MeanOfShares):
        return _mean_estimates(statistic, outcomes, units)
    if isinstance(statistic, Sums):
        return _sum_estimates(statistic, outcomes, units)
    if isinstance(statistic, Median):
        return iter([_median_estimate(statistic, outcomes, units)])
    return _function_estimates(metric, outcomes, units)


@dataclass(frozen=True, eq=False)
class UnitCount:
    """A count summed over the rows of each unit."""

    name: str
    numerator: Float[np.ndarray, " unit"]
    denominator: Float[np.ndarray, " unit"]
    seen: Float[np.ndarray, " unit"]
    size: Float[np.ndarray, " unit"]

    @staticmethod
    def of(count: Count, units: Units) -> UnitCount:
        """The sums of a count's columns."""
        return UnitCount(
            count.name,
            *(units.sums(one) for one in (count.numerator, count.denominator, count.seen, count.size)),
        )


def share_without(statistic: Shares, count: UnitCount) -> Float[np.ndarray, " unit"]:
    """A share without each unit."""
    return statistic.value(*(one.sum() - one for one in (count.numerator, count.denominator, count.seen)))


def _share_estimates(statistic: Shares, outcomes: Outcomes, units: Units) -> Iterator[Estimate]:
    for rows in statistic.counts(outcomes):
        count = UnitCount.of(rows, units)
        value = float(statistic.value(count.numerator.sum(), count.denominator.sum(), count.seen.sum()))
        share = UnitShare(count.numerator, count.denominator, statistic.is_f1)
        yield Estimate(count.name, value, share_without(statistic, count), units, share)


def _mean_estimates(statistic: MeanOfShares, outcomes: Outcomes, units: Units) -> Iterator[Estimate]:
    total, weight = np.zeros(units.number + 1), np.zeros(units.number + 1)
    unseen = 0.0
    for rows in statistic.shares.counts(outcomes):
        count = UnitCount.of(rows, units)
        # Without each unit, and of all units last.
        numerator, denominator, seen, size = (
            np.append(one.sum() - one, one.sum())
            for one in (count.numerator, count.denominator, count.seen, count.size)
        )
        value = statistic.shares.value(numerator, denominator, seen)
        counts = np.where(seen > 0, size if statistic.by_size else 1.0, 0.0)
        total += counts * np.nan_to_num(value)
        weight += counts
        share = UnitShare(count.numerator, count.denominator, statistic.shares.is_f1)
        if statistic.with_shares:
            yield Estimate(count.name, float(value[-1]), value[:-1], units, share)
        unseen += float(counts[-1]) ** 2 * _unseen_variance(share, value[:-1])
    means = np.where(weight > 0, total / np.where(weight > 0, weight, 1), np.nan)
    has_bias = statistic.shares.is_f1 and not statistic.by_size
    # Of what the jackknife does not see, half is enough where the mean has no bias: all of it covers too often.
    floor = unseen / max(float(weight[-1]), 1e-300) ** 2 / (1 if has_bias else 2)
    yield Estimate(statistic.name, float(means[-1]), means[:-1], units, has_bias=has_bias, floor=floor)


def _unseen_variance(share: UnitShare, without: Array) -> float:
    """By how much the variance that belongs to a share's own interval is above the jackknife's, such as of a share of
    1, which no unit left out changes."""
    low, high = share.interval()
    if math.isnan(low):
        return 0.0
    return max(0.0, ((high - low) / _NORMAL_WIDTH) ** 2 - _variance(without))


def _sum_estimates(statistic: Sums, outcomes: Outcomes, units: Units) -> Iterator[Estimate]:
    sums = units.sums(statistic.columns(outcomes))
    total = sums.sum(0)
    without = (statistic.smooth or statistic.values)(total - sums)
    for name, value in statistic.values(total).items():
        yield Estimate(name, float(value), without[name], units)


def _median_estimate(statistic: Median, outcomes: Outcomes, units: Units) -> Estimate:
    """The median with limits that are quantiles: at Wilson's limits of a half (Woodruff 1952). What it would be without
    each unit follows from how dense the values lie between the limits."""
    values = statistic.values(outcomes)
    known = ~np.isnan(values)
    if not known.any():
        return Estimate(statistic.name, math.nan, np.full(units.number, math.nan), units)
    ordered = np.sort(values[known])
    middle = float(np.median(ordered))
    below = np.where(known, (values < middle) + (values == middle) / 2, 0.0)
    numerator, denominator = units.sums(below), units.sums(known.astype(float))
    number, share = denominator.sum(), numerator.sum() / denominator.sum()
    effect = float(design_effect(units.sums(np.where(known, values <= middle, 0.0)), denominator))
    quantile = student(max((denominator > 0).sum() - 1, 1)) if (denominator > 1).any() else _NORMAL_WIDTH / 2
    ends = wilson(0.5, number / effect, quantile)
    places = (math.floor(number * float(ends[0])), math.ceil(number * float(ends[1])) - 1)
    low, high = (float(ordered[min(max(place, 0), len(ordered) - 1)]) for place in places)
    if low == high:
        low = float(max(ordered[ordered < low], default=low))
        high = float(min(ordered[ordered > high], default=high))
    slope = (high - low) / float(ends[1] - ends[0])
    without = middle + (numerator - share * denominator) / number * slope
    return Estimate(statistic.name, middle, without, units, limits=(low, high))


def _function_estimates(metric: str, outcomes: Outcomes, units: Units) -> Iterator[Estimate]:
    """Numbers of any function of weighted rows, computed without each unit, or each block of units where they are many
    (delete-a-group jackknife: Kott 2001)."""
    function = function_of(metric)
    values = function(outcomes, np.ones(len(outcomes.unread)))
    blocks = min(units.number, _MOST_BLOCKS)
    found = {name: np.zeros(blocks) for name in values}
    is_none = isinstance(metric_of(metric).statistic, NoInterval)
    for block in range(0 if is_none else blocks):
        weights = (units.index % blocks != block).astype(float)
        for name, value in function(outcomes, weights).items():
            found[name][block] = value
    for name, value in values.items():
        yield Estimate(name, value, found[name], units, limits=(math.nan, math.nan) if is_none else None)


def _variance(without: Array) -> float:
    known = without[~np.isnan(without)]
    return float(jackknife_variance(known)) if len(known) > 1 else 0.0


def _interval_of(estimate: Estimate, metric: Metric) -> Interval:
    units = estimate.units
    if estimate.share is not None:
        return _share_limits(estimate.share, units)
    if units.number < FEWEST_UNITS:
        number = counted(units.number, "record" if units.are_records else "unit")
        return Interval(math.nan, math.nan, f"only {number}: too few for an interval")
    if estimate.limits is not None:
        return Interval(*estimate.limits)
    without = estimate.without[~np.isnan(estimate.without)]
    is_known = isinstance(metric.statistic, MeanOfShares | Sums)
    degrees = len(without) - 1 if units.are_records and is_known else float(concentrated_degrees(without))
    weighs = float(kish(np.bincount(units.index).astype(float)))
    variance = float(jackknife_variance(without)) + estimate.floor
    if estimate.has_bias:
        centre = float(jackknife_centre(estimate.value, without))
        low, high = centred_interval(centre, variance, degrees, (0.0, 1.0))
        # The interval is centred on the value without bias, and must contain the printed value too.
        low, high = min(float(low), estimate.value), max(float(high), estimate.value)
        is_told = abs(centre - estimate.value) > (high - low) / 4
        return Interval(low, high, corrected=min(max(centre, 0.0), 1.0) if is_told else None)
    if metric.bounds is None:
        low, high = centred_interval(estimate.value, variance, degrees)
        return Interval(float(low), float(high))
    low, high = bounded_interval(estimate.value, variance, weighs, degrees, metric.bounds)
    return Interval(float(low), float(high))


def _share_limits(share: UnitShare, units: Units) -> Interval:
    low, high = share.interval()
    if math.isnan(low):
        return Interval(0.0, 1.0, "nothing was answered that it could be counted of")
    there = int((share.denominator > 0).sum())
    if not (share.denominator > 1).any():
        return Interval(low, high)
    if there < FEWEST_UNITS:
        return Interval(math.nan, math.nan, f"only {counted(there, 'unit')}: too few for an interval")
    rarer = int(units_of_rarer(share.numerator, share.denominator))
    if rarer < FEWEST_OF_RARER:
        holds = "none holds" if rarer == 0 else f"only {rarer} hold{'s' if rarer == 1 else ''}"
        reason = f"of {there} units {holds} an answer of the rarer kind: the interval may be too narrow"
        return Interval(low, high, reason)
    if tells_little(share.numerator, share.denominator):
        reason = f"few of {there} units hold most answers of the rarer kind: the interval may be too narrow"
        return Interval(low, high, reason)
    return Interval(low, high)
