"""What kind of number a metric is, which decides how its interval and its test are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Outcomes

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Count:
    """What one share counts in each row."""

    name: str
    """Of the metric: `accuracy`, `f1/World`."""
    numerator: Float[np.ndarray, " row"]
    """What counts."""
    denominator: Float[np.ndarray, " row"]
    """Of how many."""
    seen: Float[np.ndarray, " row"]
    """Above 0 where the row makes the number exist: without any such row it is NaN, with a denominator of 0 it is 0."""
    size: Float[np.ndarray, " row"]
    """What the row adds to the weight of this share in a mean by size."""


def count_of(
    name: str, numerator: Array, denominator: Array, seen: Array | None = None, size: Array | None = None
) -> Count:
    """A count of columns of numbers or truth values; by default it exists where its denominator does, and weighs as
    much."""
    columns = (
        numerator,
        denominator,
        denominator if seen is None else seen,
        denominator if size is None else size,
    )
    return Count(name, *(np.asarray(column, float) for column in columns))


@dataclass(frozen=True)
class Shares:
    """A share of counts, or one for each class."""

    counts: Callable[[Outcomes], Iterator[Count]]
    is_f1: bool = False
    """True if the number is F1, 2q / (1 + q) of the share q of right answers among those of the class or said to be."""

    def value(self, numerator: Array | float, denominator: Array | float, seen: Array | float) -> Array:
        """The number from sums; any shape."""
        numerator, denominator = np.asarray(numerator, float), np.asarray(denominator, float)
        share = np.where(denominator > 0, numerator / np.where(denominator > 0, denominator, 1), 0.0)
        return np.where(np.asarray(seen) > 0, 2 * share / (1 + share) if self.is_f1 else share, np.nan)

    def of(self, outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
        """The numbers by name for rows that weigh so much."""
        return {
            one.name: float(
                self.value(weights @ one.numerator, weights @ one.denominator, weights @ one.seen)
            )
            for one in self.counts(outcomes)
        }


@dataclass(frozen=True)
class MeanOfShares:
    """The mean of the shares of all classes that occur."""

    name: str
    shares: Shares
    by_size: bool = False
    """True if a class counts by its size, else all count alike."""
    with_shares: bool = False
    """True if the shares are numbers of the metric too."""

    def of(self, outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
        """The mean by its name, and the shares if they are the metric's too, for rows that weigh so much."""
        shares = self.shares.of(outcomes, weights)
        sizes = [float(weights @ one.size) if self.by_size else 1.0 for one in self.shares.counts(outcomes)]
        there = [(value, size) for value, size in zip(shares.values(), sizes, strict=True) if value == value]
        weight = sum(size for _, size in there)
        mean = sum(value * size for value, size in there) / weight if weight > 0 else float("nan")
        return {self.name: mean, **(shares if self.with_shares else {})}


@dataclass(frozen=True)
class Sums:
    """Any function of sums over rows."""

    columns: Callable[[Outcomes], Float[np.ndarray, "row column"]]
    """What is summed, column by column."""
    values: Callable[[Float[np.ndarray, "*many column"]], Mapping[str, Float[np.ndarray, "*many"]]]
    """The numbers by name from sums; leading dimensions are kept."""
    smooth: Callable[[Float[np.ndarray, "*many column"]], Mapping[str, Float[np.ndarray, "*many"]]] | None = (
        None
    )
    """The same without steps, for how far the numbers vary; None if `values` has no steps."""

    def of(self, outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
        """The numbers by name for rows that weigh so much."""
        return {name: float(value) for name, value in self.values(weights @ self.columns(outcomes)).items()}


@dataclass(frozen=True)
class Median:
    """The median of a value of each row."""

    name: str
    values: Callable[[Outcomes], Float[np.ndarray, " row"]]
    """NaN where a row has none."""


@dataclass(frozen=True)
class NoInterval:
    """A number for which no interval is known that covers: it is given alone, and its change has no verdict."""


Statistic = Shares | MeanOfShares | Sums | Median | NoInterval


def mean_of(name: str, values: Callable[[Outcomes], Float[np.ndarray, " row"] | None]) -> Sums:
    """The mean of a value of each row, of the rows that have it (NaN where there is none, None if no row has)."""
    return ratio_of(name, lambda outcomes: _with_ones(values(outcomes)))


def ratio_of(
    name: str, both: Callable[[Outcomes], tuple[Float[np.ndarray, " row"], Float[np.ndarray, " row"]] | None]
) -> Sums:
    """The sum of one value by the sum of another, over the rows that have both."""

    def columns(outcomes: Outcomes) -> Array:
        found = both(outcomes)
        if found is None:
            return np.zeros((len(outcomes.unread), 2))
        numerators, denominators = found
        known = ~(np.isnan(numerators) | np.isnan(denominators))
        return np.stack([np.where(known, numerators, 0.0), np.where(known, denominators, 0.0)], axis=1)

    def values(sums: Array) -> dict[str, Array]:
        numerator, denominator = sums[..., 0], sums[..., 1]
        return {
            name: np.where(denominator > 0, numerator / np.where(denominator > 0, denominator, 1), np.nan)
        }

    return Sums(columns, values)


def share_of(name: str, values: Callable[[Outcomes], Float[np.ndarray, " row"] | None]) -> Shares:
    """The share of rows whose value is 1, of the rows that have it (NaN where there is none, None if no row has)."""

    def counts(outcomes: Outcomes) -> Iterator[Count]:
        found = values(outcomes)
        column = np.full(len(outcomes.unread), np.nan) if found is None else found
        yield count_of(name, np.nan_to_num(column), ~np.isnan(column))

    return Shares(counts)


def mark(name: str) -> Callable[[Outcomes], Float[np.ndarray, " row"] | None]:
    """A function that takes a mark of the rows by its name; None if they have no such mark."""
    return lambda outcomes: outcomes.marks.get(name)


def _with_ones(values: Array | None) -> tuple[Array, Array] | None:
    return None if values is None else (values, np.ones_like(values))
