"""Tests of no change: units exchange what base and tuned answered, and the change is compared with what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8
from scipy.special import bdtr
from scipy.stats import binom

Array = np.ndarray
MOST_ENUMERATED = 12
"""Up to this many changed units, all exchanges are enumerated instead of drawn."""
_NUMBERS_AT_ONCE = 16_000_000
_TIE = 1e-9


class Signs:
    """Exchanges of whole units between two evaluations: 1 keeps a unit, -1 exchanges its answers. Equal seeds draw the
    same, and all tests of one comparison share them."""

    def __init__(self, bits: UInt8[np.ndarray, "draw byte"], is_exact: bool) -> None:
        self._bits = bits
        self.is_exact = is_exact
        """True if these are all exchanges that there are, each once."""

    @staticmethod
    def drawn(units: int, draws: int, seed: int) -> Signs:
        """Random exchanges, `draws` of them; each unit is exchanged with a chance of one half."""
        chance = np.random.default_rng(seed)
        return Signs(chance.integers(0, 256, size=(draws, -(-units // 8)), dtype=np.uint8), is_exact=False)

    @staticmethod
    def enumerated(changed: Int[np.ndarray, " changed"], units: int) -> Signs:
        """Every exchange of the units that changed; the others stay as they are, for nothing comes of them."""
        each = np.arange(2 ** len(changed))
        bits = np.zeros((len(each), -(-units // 8)), np.uint8)
        for place, unit in enumerate(changed):
            bits[:, unit >> 3] |= (((each >> place) & 1) << (unit & 7)).astype(np.uint8)
        return Signs(bits, is_exact=True)

    @staticmethod
    def of(changed: Int[np.ndarray, " changed"], units: int, draws: int, seed: int) -> Signs:
        """All exchanges if few units changed, else drawn ones."""
        if len(changed) <= MOST_ENUMERATED:
            return Signs.enumerated(changed, units)
        return Signs.drawn(units, draws, seed)

    @property
    def number(self) -> int:
        """How many exchanges there are."""
        return len(self._bits)

    def sums(
        self, units: Int[np.ndarray, " unit"], columns: Float[np.ndarray, "unit column"]
    ) -> Float[np.ndarray, "draw column"]:
        """Signed sum of each column over these units, by exchange."""
        step = max(1, _NUMBERS_AT_ONCE // max(1, len(units)))
        found = [
            self._signs(slice(start, start + step), units) @ columns for start in range(0, self.number, step)
        ]
        return np.concatenate(found)

    def _signs(self, draws: slice, units: Array) -> Float[np.ndarray, "draw unit"]:
        bits = (self._bits[draws][:, units >> 3] >> (units & 7).astype(np.uint8)) & 1
        return 1.0 - 2.0 * bits


def mcnemar_mid_p(fixed: int, broken: int) -> float:
    """Two-sided mid-p-value of McNemar's test (Fagerland, Lydersen and Laake 2013): the exact binomial p-value with
    half the probability of what was seen.

    >>> round(mcnemar_mid_p(0, 5), 6)
    0.03125
    """
    changed, rarer = fixed + broken, min(fixed, broken)
    if changed == 0:
        return 1.0
    two_sided = 2 * (float(bdtr(rarer, changed, 0.5)) - float(binom.pmf(rarer, changed, 0.5)) / 2)
    return min(1.0, two_sided)


def exchange_p(change: Any, exchanged: Float[np.ndarray, " draw *many"], is_exact: bool) -> Any:
    """Two-sided mid-p-value of a change among what exchanges of units give (Fisher 1935; as approximate randomisation
    Noreen 1989; the drawn ones count themselves as one: Davison and Hinkley 1997, section 4.2.3)."""
    size = np.abs(np.asarray(change, float))
    tie = _TIE * np.maximum(1.0, size)
    sizes = np.abs(np.nan_to_num(exchanged))
    more, as_much = (sizes > size + tie).sum(0), (np.abs(sizes - size) <= tie).sum(0)
    if is_exact:
        return (more + as_much / 2) / len(exchanged)
    return np.minimum(1.0, (more + (as_much + 1) / 2) / (len(exchanged) + 1))


def flip_p(
    differences: Float[np.ndarray, " unit"], draws: int, seed: int, signs: Signs | None = None
) -> float:
    """Two-sided mid-p-value of the sum of the units' differences under all, or drawn, flips of their signs (Fisher
    1935). Units that did not change have no part in it."""
    changed = np.flatnonzero(differences)
    if signs is None or len(changed) <= MOST_ENUMERATED:
        signs = Signs.of(changed, len(differences), draws, seed)
    flipped = signs.sums(changed, differences[changed, None])[:, 0]
    return float(exchange_p(float(differences.sum()), flipped, signs.is_exact))


def step_down(
    changes: Float[np.ndarray, "*many number"],
    exchanged: Float[np.ndarray, "draw *many number"],
    is_exact: bool,
    deviations: Float[np.ndarray, "*many number"] | None = None,
) -> Float[np.ndarray, "*many number"]:
    """P-values corrected for all numbers of a family together: the chance that any of them is called changed though
    none did is at most the level (step-down max-T: Westfall and Young 1993, algorithm 4.1; Romano and Wolf 2005).

    All are exchanged together, so that what they have in common is taken into account. Of a number that no exchange
    changes the p-value is 1. `deviations` are the numbers' standard deviations over all exchanges, where they are
    known; NaN is what the drawn ones tell.
    """
    exchanged = np.nan_to_num(exchanged)
    deviation = np.sqrt((exchanged**2).mean(0))
    if deviations is not None:
        deviation = np.where(np.isnan(deviations) | (deviation == 0), deviation, deviations)
    there = deviation > 0
    scale = np.where(there, deviation, 1.0)
    seen = np.where(there, np.abs(np.nan_to_num(changes)) / scale, -1.0)
    order = np.argsort(-seen, axis=-1, kind="stable")
    sizes = np.where(there, np.abs(exchanged) / scale, -1.0)
    sizes = np.take_along_axis(sizes, np.broadcast_to(order, sizes.shape), axis=-1)
    largest_left = np.maximum.accumulate(sizes[..., ::-1], axis=-1)[..., ::-1]
    ordered = np.take_along_axis(seen, order, axis=-1)
    as_large = (largest_left >= ordered - _TIE).sum(0)
    p = as_large / len(exchanged) if is_exact else (as_large + 1) / (len(exchanged) + 1)
    p = np.maximum.accumulate(p, axis=-1)
    p = np.where(ordered < 0, 1.0, p)
    corrected = np.empty_like(p)
    np.put_along_axis(corrected, order, p, axis=-1)
    return corrected


def false_discovery_rate(p_values: Sequence[float]) -> list[float]:
    """The least false discovery rate at which each is named (Benjamini and Hochberg 1995)."""
    p = np.asarray(p_values, float)
    order = np.argsort(p)
    ranked = p[order] * len(p) / np.arange(1, len(p) + 1)
    least = np.minimum.accumulate(ranked[::-1])[::-1]
    found = np.empty_like(p)
    found[order] = np.minimum(least, 1.0)
    return [float(one) for one in found]
