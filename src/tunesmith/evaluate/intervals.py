"""95 % intervals of one number and of a paired change. Everything is computed from sums of units, without resampling.

All functions take many data sets at once: leading dimensions are kept, the last one counts units.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit

NORMAL = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""
FEWEST_OF_RARER = 3
"""Units that must hold an answer of the rarer kind, to tell how far units differ."""
_LOWEST_DEFF_OF_A_CHANGE = 0.5
_BISECTIONS = 45

Numbers = Any
"""One number, or an array of them, one for each data set."""


def student(degrees: Numbers) -> Numbers:
    """The 97.5 % quantile of Student's t; of the normal distribution for infinite degrees of freedom."""
    degrees = np.asarray(degrees, float)
    finite = np.where(np.isfinite(degrees), degrees, 1.0)
    return np.where(np.isfinite(degrees), stdtrit(np.maximum(finite, 1.0), 0.975), NORMAL)


def wilson(share: Numbers, number: Numbers, quantile: Numbers = NORMAL) -> tuple[Numbers, Numbers]:
    """Limits of a share of `number` independent answers (Wilson 1927); `number` need not be whole.

    >>> tuple(round(float(end), 3) for end in wilson(1.0, 20))
    (0.839, 1.0)
    """
    share, number, quantile = (np.asarray(one, float) for one in (share, number, quantile))
    squared = quantile**2
    middle = share + squared / (2 * number)
    half = quantile * np.sqrt(np.maximum(share * (1 - share), 0) / number + squared / (4 * number**2))
    shrunk = 1 + squared / number
    low, high = (middle - half) / shrunk, (middle + half) / shrunk
    # At the ends rounding leaves a rest.
    return np.where(share <= 0, 0.0, np.maximum(low, 0.0)), np.where(share >= 1, 1.0, np.minimum(high, 1.0))


def kish(sizes: Float[np.ndarray, "*many unit"]) -> Numbers:
    """Number of equal units that weigh as much as these (Kish 1965): the square of the sum by the sum of squares."""
    squares = (sizes**2).sum(-1)
    return np.where(squares > 0, sizes.sum(-1) ** 2 / np.where(squares > 0, squares, 1), 0.0)


def jackknife_variance(without: Float[np.ndarray, "*many unit"]) -> Numbers:
    """Variance of a number from its values without each unit (Tukey 1958; Efron and Stein 1981)."""
    units = without.shape[-1]
    centred = without - without.mean(-1, keepdims=True)
    return (units - 1) / units * (centred**2).sum(-1)


def concentrated_degrees(without: Float[np.ndarray, "*many unit"]) -> Numbers:
    """Degrees of freedom of a jackknife variance: fewer than units less one where few units carry it, as matched to
    the moments of a sum of squares (Satterthwaite 1946; Bell and McCaffrey 2002)."""
    units = without.shape[-1]
    squares = (without - without.mean(-1, keepdims=True)) ** 2
    fourth = (squares**2).sum(-1)
    matched = 2 * squares.sum(-1) ** 2 / np.where(fourth > 0, fourth, 1)
    return np.where(fourth > 0, np.minimum(matched, units - 1), units - 1.0)


def design_effect(
    numerators: Float[np.ndarray, "*many unit"], denominators: Float[np.ndarray, "*many unit"]
) -> Numbers:
    """How many times the variance of a share is larger than if its answers were independent, at least 1.

    The larger of two estimates: of the ratio's variance between units (Cochran 1977, section 9A.7), and of the
    intraclass correlation by analysis of variance (Donner and Klar 2000; Kish 1965, section 5.4).
    """
    number, units = denominators.sum(-1), (denominators > 0).sum(-1)
    share = numerators.sum(-1) / np.where(number > 0, number, 1)
    independent = share * (1 - share) * number
    residuals = numerators - share[..., None] * denominators
    spread = (residuals**2).sum(-1)
    several = (units > 1) & (independent > 0)
    ratio = units / np.maximum(units - 1, 1) * spread / np.where(several, independent, 1)
    own = numerators / np.where(denominators > 0, denominators, 1)
    between = (denominators * (own - share[..., None]) ** 2).sum(-1) / np.maximum(units - 1, 1)
    within = (denominators * own * (1 - own)).sum(-1) / np.maximum(number - units, 1)
    squares = (denominators**2).sum(-1)
    size = (number - squares / np.where(number > 0, number, 1)) / np.maximum(units - 1, 1)
    total = between + (size - 1) * within
    correlation = np.where(total > 0, (between - within) / np.where(total > 0, total, 1), 0.0)
    by_correlation = 1 + correlation * (squares / np.where(number > 0, number, 1) - 1)
    return np.where(several, np.maximum(1.0, np.maximum(ratio, by_correlation)), 1.0)


def units_of_rarer(
    numerators: Float[np.ndarray, "*many unit"], denominators: Float[np.ndarray, "*many unit"]
) -> Numbers:
    """How many units hold an answer of the rarer kind: one that counts, or one that does not."""
    return np.minimum((numerators > 0).sum(-1), (denominators - numerators > 0).sum(-1))


def units_of_risk(
    numerators: Float[np.ndarray, "*many unit"], denominators: Float[np.ndarray, "*many unit"]
) -> Numbers:
    """Over how many units the risk of an answer of the rarer kind spreads: their number if all have the same, fewer
    where few units hold most such answers, beyond what chance does (the inverse of Simpson's 1949 concentration)."""
    rest = denominators - numerators
    rarer = np.where((numerators.sum(-1) <= rest.sum(-1))[..., None], numerators, rest)
    pairs = (rarer * (rarer - 1)).sum(-1)
    units = (denominators > 0).sum(-1)
    spread = rarer.sum(-1) ** 2 / np.where(pairs > 0, pairs, 1)
    return np.where(pairs > 0, np.minimum(spread, units), units)


def tells_little(
    numerators: Float[np.ndarray, "*many unit"], denominators: Float[np.ndarray, "*many unit"]
) -> Numbers:
    """True where answers of the rarer kind are in so few units that how far units differ cannot be known."""
    return (units_of_rarer(numerators, denominators) < FEWEST_OF_RARER) | (
        units_of_risk(numerators, denominators) < FEWEST_OF_RARER
    )


def share_interval(
    numerators: Float[np.ndarray, "*many unit"], denominators: Float[np.ndarray, "*many unit"]
) -> tuple[Numbers, Numbers]:
    """Limits of a share of counts: the sum of `numerators` by the sum of `denominators`.

    Where no unit has more than one answer they are Wilson's. Else Wilson's with the effective number of answers (their
    number by the design effect) and Student's t (Korn and Graubard 1998 have this with another interval), whose
    degrees of freedom are the units that the risk spreads over, less one. Where the rarer answer is in too few units
    to tell how units differ, at most the units count.
    """
    number = denominators.sum(-1)
    share = numerators.sum(-1) / np.where(number > 0, number, 1)
    single = (denominators <= 1).all(-1)
    effective = number / design_effect(numerators, denominators)
    effective = np.where(
        tells_little(numerators, denominators), np.minimum(effective, kish(denominators)), effective
    )
    quantile = np.where(single, NORMAL, student(units_of_risk(numerators, denominators) - 1))
    low, high = wilson(share, np.where(single, number, effective).clip(1e-9), quantile)
    is_there = number > 0
    return np.where(is_there, low, np.nan), np.where(is_there, high, np.nan)


def f1_of_share(share: Numbers) -> Numbers:
    """F1 from the share of right answers among those that are of the class or said to be: 2q / (1 + q)."""
    return 2 * share / (1 + share)


def bounded_interval(
    value: Numbers,
    variance: Numbers,
    units: Numbers,
    degrees: Numbers,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> tuple[Numbers, Numbers]:
    """Limits of a number between two bounds, in Wilson's form: its variance gives the effective number of answers
    v(1 - v)/V, or `units` where nothing varied (Korn and Graubard 1998; Dean and Pagano 2015)."""
    least, most = bounds
    scaled = np.clip((np.asarray(value, float) - least) / (most - least), 0.0, 1.0)
    variance = np.asarray(variance, float) / (most - least) ** 2
    most_varied = scaled * (1 - scaled)
    varied = (variance > 1e-18) & (most_varied > 1e-12)
    number = np.where(varied, most_varied / np.where(varied, variance, 1), units)
    low, high = wilson(scaled, number, student(degrees))
    return least + low * (most - least), least + high * (most - least)


def centred_interval(
    centre: Numbers,
    variance: Numbers,
    degrees: Numbers,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> tuple[Numbers, Numbers]:
    """Limits at Student's t standard errors from the centre, cut at the bounds."""
    half = student(degrees) * np.sqrt(variance)
    return np.clip(centre - half, *bounds), np.clip(centre + half, *bounds)


def jackknife_centre(value: Numbers, without: Float[np.ndarray, "*many unit"]) -> Numbers:
    """The value without its bias of first order in the number of units (Quenouille 1956)."""
    units = without.shape[-1]
    return units * np.asarray(value) - (units - 1) * without.mean(-1)


def tango(
    gained: Numbers, lost: Numbers, number: Numbers, quantile: Numbers = NORMAL
) -> tuple[Numbers, Numbers]:
    """Limits of a paired change of a share, (gained - lost) / number, by inverting the score test (Tango 1998).

    The counts need not be whole. `gained` are right only the second time, `lost` only the first.

    >>> tuple(round(float(end), 3) for end in tango(0, 0, 20))
    (-0.161, 0.161)
    """
    gained, lost, number, quantile = np.broadcast_arrays(
        *(np.asarray(one, float) for one in (gained, lost, number, quantile))
    )
    change = (gained - lost) / number

    def distance(at: Numbers) -> Numbers:
        """The score statistic of a change `at`."""
        linear = -gained - lost + (2 * number - gained + lost) * at
        root = np.sqrt(np.maximum(linear**2 + 8 * number * lost * at * (1 - at), 0.0))
        share_lost = np.clip((root - linear) / (4 * number), 0.0, 1.0)
        variance = number * (2 * share_lost + at * (1 - at))
        return (gained - lost - number * at) / np.sqrt(np.maximum(variance, 1e-300))

    ends = []
    for sign in (-1.0, 1.0):
        near, far = change.copy(), np.full_like(change, sign)
        for _ in range(_BISECTIONS):
            middle = (near + far) / 2
            inside = np.abs(distance(middle)) <= quantile
            near, far = np.where(inside, middle, near), np.where(inside, far, middle)
        ends.append((near + far) / 2)
    return ends[0], ends[1]


def share_change_interval(
    gained: Float[np.ndarray, "*many unit"],
    lost: Float[np.ndarray, "*many unit"],
    denominators: Float[np.ndarray, "*many unit"],
) -> tuple[Numbers, Numbers]:
    """Limits of the paired change of a share, from what each unit gained and lost.

    Tango's where no unit has more than one answer; else his with counts divided by the design effect of the change (at
    least a half) and Student's t of units less one.
    """
    number, units = denominators.sum(-1), (denominators > 0).sum(-1)
    b, c = gained.sum(-1), lost.sum(-1)
    single = (denominators <= 1).all(-1)
    safe = np.where(number > 0, number, 1.0)
    change = (b - c) / safe
    residuals = (gained - lost) - change[..., None] * denominators
    left = np.where(safe[..., None] > denominators, safe[..., None] - denominators, 1.0)
    without = change[..., None] - residuals / left
    variance = np.where(units > 1, _variance_of(without, denominators > 0), 0.0)
    independent = (b + c - (b - c) ** 2 / safe) / safe**2
    varied = independent > 1e-18
    effect = np.where(varied, variance / np.where(varied, independent, 1), 1.0)
    effect = np.maximum(effect, _LOWEST_DEFF_OF_A_CHANGE)
    effect = np.where(b + c > 0, effect, safe / np.maximum(kish(denominators), 1e-9))
    effect = np.where(single, 1.0, effect)
    quantile = np.where(single, NORMAL, student(np.maximum(units - 1, 1)))
    low, high = tango(b / effect, c / effect, safe / effect, quantile)
    return np.where(number > 0, low, np.nan), np.where(number > 0, high, np.nan)


def _variance_of(without: Numbers, is_there: Numbers) -> Numbers:
    """The jackknife variance over the units that are there."""
    units = is_there.sum(-1)
    total = np.where(is_there, without, 0.0).sum(-1, keepdims=True)
    mean = total / np.maximum(units, 1)[..., None]
    squares = np.where(is_there, (without - mean) ** 2, 0.0).sum(-1)
    return (units - 1) / np.maximum(units, 1) * squares
