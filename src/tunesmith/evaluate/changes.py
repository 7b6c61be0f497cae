"""From the numbers of two evaluations to changes with verdicts, corrected for all that are tested together."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal

import numpy as np
from jaxtyping import Float

from tunesmith.config.settings import FloatOrNull
from tunesmith.errors import counted
from tunesmith.evaluate.defaults import metric_of
from tunesmith.evaluate.estimates import FEWEST_UNITS, Units
from tunesmith.evaluate.intervals import FEWEST_OF_RARER
from tunesmith.evaluate.pairs import Pair, pairs_of
from tunesmith.evaluate.rows import Row
from tunesmith.evaluate.significance import Signs, false_discovery_rate, step_down
from tunesmith.metrics import Outcomes

Verdict = Literal["better", "worse", "no clear change", "too few to tell"]
FEWEST_CHANGED = 6
"""Units of a class or group: with fewer changed ones, no test of several classes can name it."""
_SIGNIFICANT = 0.05
_SUGGESTIVE = 0.10
_SMALLEST_CHANGE = 5e-4
"""Of an interval nearer to 0, nothing would be left on the page: 0.05 points of a share."""


@dataclass(frozen=True)
class Change:
    """What became of one metric."""

    first: float
    second: float
    change: float
    """Second less first."""
    low: FloatOrNull
    """Lower end of the paired 95 % interval of the change; NaN where there is none."""
    high: FloatOrNull
    p_value: FloatOrNull
    """Two-sided, of no change; corrected for the family of changes that are tested together."""
    test: Literal["mcnemar", "swaps", "sign flips", "bootstrap"]
    """`bootstrap` is in files from before there were tests by swaps."""
    verdict: Verdict
    """`better` or `worse` only if the corrected test and the interval agree."""
    p_alone: float | None = None
    """The p-value of this change as if it were the only one that is tested."""
    reason: str | None = None
    """Why there are too few to tell; None for any other verdict."""


@dataclass(frozen=True, eq=False)
class Draft:
    """A change before its family is known."""

    name: str
    """Of the metric."""
    is_part: bool
    """True if it is of a class or of a group: a part of the records only."""
    first: float
    second: float
    low: float
    high: float
    p_alone: float
    test: Literal["mcnemar", "swaps", "sign flips"]
    too_few: str | None
    tested: float
    exchanged: Float[np.ndarray, " draw"]
    deviation: float = math.nan
    """Standard deviation over all exchanges, where it is known."""

    @staticmethod
    def of(pair: Pair, units: Units, is_group: bool, draws: int, seed: int) -> Draft:
        """What is known of a pair alone."""
        is_part = is_group or "/" in pair.name
        low, high = pair.interval() if units.number >= FEWEST_UNITS else (math.nan, math.nan)
        return Draft(
            name=pair.name,
            is_part=is_part,
            first=pair.first.value,
            second=pair.second.value,
            low=low,
            high=high,
            p_alone=pair.p_alone(draws, seed),
            test=pair.test,
            too_few=_too_few(pair, units, is_part),
            tested=pair.exchange.change,
            exchanged=pair.exchange.exchanged,
            deviation=pair.exchange.deviation,
        )

    def change(self, p_value: float) -> Change:
        """The change with its corrected p-value and its verdict."""
        return Change(
            first=self.first,
            second=self.second,
            change=self.second - self.first,
            low=self.low,
            high=self.high,
            p_value=p_value,
            test=self.test,
            verdict=self._verdict(p_value),
            p_alone=self.p_alone,
            reason=self.too_few,
        )

    def _verdict(self, p_value: float) -> Verdict:
        if self.too_few is not None:
            return "too few to tell"
        if p_value >= _SIGNIFICANT or not self.is_clear:
            return "no clear change"
        return "worse" if self.is_loss else "better"

    @property
    def is_clear(self) -> bool:
        """True if the interval excludes 0, also as it is rounded on the page."""
        return (self.low > 0 or self.high < 0) and max(abs(self.low), abs(self.high)) >= _SMALLEST_CHANGE

    @property
    def is_loss(self) -> bool:
        """True if the second is worse than the first, by however little."""
        return (self.second < self.first) == (metric_of(self.name).better == "higher")


def exchanges_of(first: Sequence[Row], second: Sequence[Row], draws: int, seed: int) -> tuple[Units, Signs]:
    """The units of paired rows, and the exchanges of them that all tests of a comparison share."""
    units = Units.of([row.unit for row in first])
    changed = [
        index
        for index, (one, other) in enumerate(zip(first, second, strict=True))
        if _measured(one) != _measured(other)
    ]
    return units, Signs.of(np.unique(units.index[changed]), units.number, draws, seed)


def drafts_of(
    metrics: Iterable[str],
    outcomes: tuple[Outcomes, Outcomes],
    units: Units,
    signs: Signs,
    seed: int,
    is_group: bool = False,
) -> list[Draft]:
    """The change of every number of these metrics, first to second."""
    return [
        Draft.of(pair, units, is_group, signs.number, seed)
        for metric in metrics
        for pair in pairs_of(metric, *outcomes, units, signs)
    ]


def settled(families: Mapping[Draft, Hashable], is_exact: bool) -> dict[Draft, Change]:
    """The changes with p-values that are corrected for their family, in the order given. A change whose family is None
    is tested alone."""
    members: dict[Hashable, list[Draft]] = {}
    for draft, family in families.items():
        members.setdefault((draft,) if family is None else family, []).append(draft)
    corrected: dict[Draft, float] = {}
    for drafts in members.values():
        alone = [draft.p_alone for draft in drafts]
        together = alone
        if len(drafts) > 1:
            exchanged = np.stack([draft.exchanged for draft in drafts], axis=1)
            tested, known = (
                np.array([one(draft) for draft in drafts], float)
                for one in (attrgetter("tested"), attrgetter("deviation"))
            )
            together = list(step_down(tested, exchanged, is_exact, known))
        for draft, one, p_alone in zip(drafts, together, alone, strict=True):
            corrected[draft] = max(float(one), p_alone)
    return {draft: draft.change(corrected[draft]) for draft in families}


def perhaps_worse(changes: Mapping[Draft, Change]) -> list[Draft]:
    """The losses among a family's changes that are suggestive only: one in ten of those named is named by chance
    (Benjamini and Hochberg 1995), and the interval of each lies below 0."""
    rates = false_discovery_rate([draft.p_alone for draft in changes]) if changes else []
    return [
        draft
        for (draft, change), rate in zip(changes.items(), rates, strict=True)
        if rate <= _SUGGESTIVE and draft.is_clear and draft.is_loss and change.verdict == "no clear change"
    ]


def _too_few(pair: Pair, units: Units, is_part: bool) -> str | None:
    """Why no verdict is possible whatever comes out, or None."""
    noun = ("record", "records") if units.are_records else ("unit", "units")
    exchange = pair.exchange
    if units.number < FEWEST_UNITS:
        return f"only {counted(units.number, *noun)}; a verdict needs {FEWEST_UNITS}"
    if exchange.changed == 0:
        return None
    if exchange.rarer is not None and exchange.rarer < FEWEST_OF_RARER:
        holds = "holds" if exchange.rarer == 1 else "hold"
        return f"only {counted(exchange.rarer, *noun)} of {units.number} {holds} an answer of the rarer kind"
    if is_part and exchange.changed < FEWEST_CHANGED:
        return f"only {counted(exchange.changed, *noun)} changed; a verdict needs {FEWEST_CHANGED}"
    return None


def _measured(row: Row) -> tuple[object, ...]:
    return row.marks, row.predicted, row.unread is None, row.scores
