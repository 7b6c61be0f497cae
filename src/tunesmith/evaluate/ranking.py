"""Many models on the same held-out records: which of them differ, which is best, and how good the best really is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from tunesmith.evaluate.changes import Change, Draft, Verdict, drafts_of, settled
from tunesmith.evaluate.compare import in_order_of
from tunesmith.evaluate.defaults import metric_of, primary_metric
from tunesmith.evaluate.estimates import Estimate, Units, estimates_of
from tunesmith.evaluate.intervals import NORMAL
from tunesmith.evaluate.rows import Row
from tunesmith.evaluate.scores import outcomes_of
from tunesmith.evaluate.significance import Signs
from tunesmith.metrics import Outcomes
from tunesmith.tasks import Task

if TYPE_CHECKING:
    from tunesmith.config.experiment import Evaluate

_FEWEST_TO_SHRINK = 3
_TURNED: dict[Verdict, Verdict] = {"better": "worse", "worse": "better"}


@dataclass(frozen=True)
class Shrunk:
    """What the best of many is worth on new records: its own value is too high, for it was chosen by it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Ranking:
    """Models compared in pairs by their primary metric; all pairs are tested together."""

    metric: str
    estimates: Mapping[str, Estimate]
    """The metric by model, of those that have it."""
    pairs: Mapping[tuple[str, str], Change]
    """From the first of two models to the second, in the order given."""

    def best_of(self, names: Sequence[str]) -> str:
        """The model with the best value among these."""
        higher = metric_of(self.metric).better == "higher"
        return (max if higher else min)(names, key=lambda name: self.estimates[name].value)

    def equals_of(self, best: str, names: Sequence[str]) -> list[str]:
        """Those among these models that the best is not clearly better than."""
        return [name for name in names if name != best and self.verdict_on(best, name) != "better"]

    def verdict_on(self, name: str, other: str) -> Verdict:
        """The verdict on a model against another: `better` if it is clearly better than the other. Of a metric whose
        changes are not tested it is `no clear change`."""
        if (other, name) in self.pairs:
            return self.pairs[other, name].verdict
        change = self.pairs.get((name, other))
        verdict = change.verdict if change else "no clear change"
        return _TURNED.get(verdict, verdict)

    def shrunk_best(self, names: Sequence[str]) -> Shrunk | None:
        """The best of these models drawn towards their mean, as far as their differences are chance (empirical Bayes:
        James and Stein 1961; Morris 1983), with its 95 % interval. None for fewer than three models."""
        if len(names) < _FEWEST_TO_SHRINK:
            return None
        values = np.array([self.estimates[name].value for name in names])
        without = np.nan_to_num(np.stack([self.estimates[name].without for name in names]))
        value, error = shrink(values, without, list(names).index(self.best_of(names)))
        least, most = metric_of(self.metric).bounds or (-math.inf, math.inf)
        return Shrunk(value, max(least, value - NORMAL * error), min(most, value + NORMAL * error))


def rank(
    rows: Mapping[str, Sequence[Row]], task: Task, settings: Evaluate, seed: int, target: str | None = None
) -> Ranking:
    """The models by name, compared in pairs by the primary metric of the settings, or only each with the `target`.
    Models without the metric are left out.

    Raises ExperimentError if the rows are not of the same records.
    """
    first = next(iter(rows.values()))
    outcomes = {name: outcomes_of(in_order_of(first, some), task) for name, some in rows.items()}
    units = Units.of([row.unit for row in first])
    metric = primary_metric(task, settings)[0]
    return rank_outcomes(outcomes, units, metric, settings.num_resamples, seed, target)


def rank_outcomes(
    outcomes: Mapping[str, Outcomes],
    units: Units,
    metric: str,
    draws: int,
    seed: int,
    target: str | None = None,
) -> Ranking:
    """The same from what each model answered, the same rows in the same order.

    All pairs are one family: step-down max-T over the same exchanges of units, as in a comparison of two.
    """
    signs = Signs.drawn(units.number, draws, seed)
    module = metric.partition("/")[0]
    estimates = {
        name: one
        for name, some in outcomes.items()
        for one in estimates_of(module, some, units)
        if one.name == metric
    }
    drafts: dict[tuple[str, str], Draft] = {}
    for pair in itertools.combinations(estimates, 2):
        if target not in (None, *pair):
            continue
        for draft in drafts_of([module], (outcomes[pair[0]], outcomes[pair[1]]), units, signs, seed):
            if draft.name == metric:
                drafts[pair] = draft
    changes = settled(dict.fromkeys(drafts.values(), "pairs"), is_exact=False)
    return Ranking(metric, estimates, {pair: changes[draft] for pair, draft in drafts.items()})


def shrink(
    values: Float[np.ndarray, " model"], without: Float[np.ndarray, "model block"], best: int
) -> tuple[float, float]:
    """Value and standard error of the best of several models, from their values and those without each unit.

    What the models differ by beyond chance is the variance of their values less that of chance; the more of it is
    chance, the further the best is drawn to their mean (Morris 1983).
    """
    models, blocks = without.shape
    centred = without - without.mean(1, keepdims=True)
    covariance = (blocks - 1) / blocks * centred @ centred.T
    own = np.diag(covariance)
    apart = own[:, None] + own[None, :] - 2 * covariance
    chance = float(apart.sum() / (models * (models - 1)) / 2)
    real = max(0.0, float(values.var(ddof=1)) - chance)
    kept = real / (real + chance) if real + chance > 0 else 0.0
    mean = float(values.mean())
    beyond = float(values[best]) - mean
    variance = (
        float(covariance.mean())
        + kept * chance * (1 - 1 / models)
        + 2 * (1 - kept) ** 2 * beyond**2 / (models - 1)
    )
    return mean + kept * beyond, math.sqrt(max(variance, 0.0))
