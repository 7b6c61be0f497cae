"""Tables of claims: how often something is called better or worse though nothing changed, and how often a true change
is."""

from __future__ import annotations

from typing import Any

import numpy as np
from benchmarks.coverage.truths import Classes, paired_in_groups
from scipy.stats import binom, norm

from tunesmith.evaluate.changes import drafts_of, settled
from tunesmith.evaluate.compare import family_of
from tunesmith.evaluate.estimates import Units
from tunesmith.evaluate.intervals import share_change_interval
from tunesmith.evaluate.ranking import rank_outcomes
from tunesmith.evaluate.significance import Signs, exchange_p, mcnemar_mid_p
from tunesmith.metrics import Outcomes

Row = dict[str, Any]
_DRAWS = 2000


def change_of_records(number: int, shares: tuple[float, float], kept: float, sets: int, seed: int) -> Row:
    """Interval and verdict of the change of a share, each record its own unit."""
    gained, lost = paired_in_groups(np.random.default_rng(seed), sets, number, 1, shares, 0.0, kept)
    low, high = share_change_interval(gained, lost, np.ones_like(gained))
    counts = list(zip(gained.sum(1).astype(int), lost.sum(1).astype(int), strict=True))
    known = {pair: mcnemar_mid_p(*map(int, pair)) for pair in set(counts)}
    p_values = np.array([known[pair] for pair in counts])
    return {"n": number, **_verdicts(shares, low, high, p_values, _old_rule(counts, number))}


def change_in_groups(
    groups: int, size: int, shares: tuple[float, float], correlation: float, sets: int, seed: int
) -> Row:
    """Interval and verdict of the change of a share where records come in groups."""
    gained, lost = paired_in_groups(np.random.default_rng(seed), sets, groups, size, shares, correlation)
    low, high = share_change_interval(gained, lost, np.full_like(gained, float(size)))
    signs = Signs.drawn(groups, _DRAWS, seed)
    differences = np.ascontiguousarray((gained - lost).T)
    flipped = signs.sums(np.arange(groups), differences)
    p_values = exchange_p(differences.sum(0), flipped, is_exact=False)
    counts = list(zip(gained.sum(1).astype(int), lost.sum(1).astype(int), strict=True))
    found = _verdicts(shares, low, high, p_values, _old_rule(counts, groups * size))
    return {"groups": groups, "size": size, "correlation": correlation, **found}


def _verdicts(shares: tuple[float, float], low: Any, high: Any, p_values: Any, old: float) -> Row:
    truth = shares[1] - shares[0]
    clear = ((low > 0) | (high < 0)) & (p_values < 0.05)
    return {
        "shares": f"{shares[0]:g} to {shares[1]:g}",
        "covered": float(((low <= truth + 1e-12) & (truth - 1e-12 <= high)).mean()),
        "better or worse": float(clear.mean()),
        "the old rule": old,
    }


def _old_rule(counts: list[tuple[int, int]], number: int) -> float:
    """How often the middle 95 % of resampled records lay on one side of 0: by the normal approximation of what is
    drawn."""
    gained, lost = np.array(counts, float).T
    change = (gained - lost) / number
    error = np.sqrt(np.maximum((gained + lost) / number - change**2, 0) / number)
    return float((np.abs(change) > norm.ppf(0.975) * np.maximum(error, 1e-12)).mean())


def classes(
    labels: int,
    number: int,
    accuracy: float,
    skew: float,
    sets: int,
    seed: int,
    groups: int = 0,
    fall: float = 0.0,
) -> Row:
    """A whole comparison of classes: how often anything of a family is called better or worse. With a fall, one class
    loses so much recall; of the classes, only those whose F1 is truly equal count as false then."""
    population = Classes.of(labels, accuracy, skew)
    other = fallen(population, fall)
    names = tuple(f"c{index}" for index in range(labels))
    units = Units.of([str(index * groups // number if groups else index) for index in range(number)])
    signs = Signs.drawn(units.number, 500, seed)
    chance = np.random.default_rng(seed)
    hits = dict.fromkeys(("primary", "other metrics", "F1 of classes", "parts of F1", "the fallen class"), 0)
    metrics = ("accuracy", "f1_macro", "f1_weighted", "balanced_accuracy", "f1", "precision", "recall")
    for _ in range(sets):
        truth, first, second = population.sample_pair(chance, number, other, 0.6, groups)
        both = [outcomes_of_classes(names, truth, answered) for answered in (first, second)]
        drafts = drafts_of(metrics, (both[0], both[1]), units, signs, seed)
        changes = settled({draft: family_of(draft.name, "accuracy") for draft in drafts}, is_exact=False)
        named = {draft.name for draft, change in changes.items() if change.verdict in ("better", "worse")}
        hits["primary"] += "accuracy" in named
        hits["other metrics"] += any("/" not in name and name != "accuracy" for name in named)
        hits["F1 of classes"] += any(name.startswith("f1/") for name in named)
        hits["parts of F1"] += any(name.startswith(("precision/", "recall/")) for name in named)
        hits["the fallen class"] += "f1/c0" in named
    rates = {name: count / sets for name, count in hits.items()}
    if not fall:
        del rates["the fallen class"]
    sizes = "1/rank" if skew else "balanced"
    return {"classes": labels, "n": number, "groups": groups, "sizes": sizes, "fall": fall, **rates}


def fallen(population: Classes, fall: float) -> Classes:
    """The same, but that the first class loses recall to all others alike."""
    if not fall:
        return population
    answers = population.answers.copy()
    answers[0, 0] -= fall
    answers[0, 1:] += fall / (len(answers) - 1)
    return Classes(population.shares, answers)


def outcomes_of_classes(names: tuple[str, ...], truth: np.ndarray, answered: np.ndarray) -> Outcomes:
    marks = {"correct": (truth == answered).astype(float)}
    return Outcomes(marks, np.zeros(len(truth), bool), names, None, truth, answered)


def groups_of_a_field(
    groups: int, size: int, share: float, fallen: int, to: float, sets: int, seed: int
) -> Row:
    """Accuracy by the values of a field: how often one is called worse or better that did not change, and one that
    did."""
    chance = np.random.default_rng(seed)
    number = groups * size
    units = Units.of([str(index) for index in range(number)])
    signs = Signs.drawn(number, 500, seed)
    falsely, rightly = 0, 0.0
    for _ in range(sets):
        record = chance.standard_normal((2, number))
        common = np.sqrt(0.6) * chance.standard_normal(number)
        cuts = np.stack([np.full(number, norm.ppf(share)), np.full(number, norm.ppf(share))])
        cuts[1, : fallen * size] = norm.ppf(to)
        right = common + np.sqrt(0.4) * record < cuts
        drafts = []
        for group in range(groups):
            rows = range(group * size, (group + 1) * size)
            both = [
                Outcomes({"correct": one[list(rows)].astype(float)}, np.zeros(size, bool)) for one in right
            ]
            drafts += drafts_of(
                ["accuracy"], (both[0], both[1]), units.some(rows), signs, seed, is_group=True
            )
        named = [
            one.verdict in ("better", "worse")
            for one in settled(dict.fromkeys(drafts, "all"), False).values()
        ]
        falsely += any(named[fallen:])
        rightly += sum(named[:fallen]) / max(fallen, 1)
    return {
        "groups": groups,
        "records each": size,
        "fallen": f"{fallen}: {share:g} to {to:g}" if fallen else "none",
        "any other named": falsely / sets,
        "fallen named": rightly / sets if fallen else float("nan"),
    }


def runs(number: int, models: int, spread: float, sets: int, seed: int) -> Row:
    """Many runs: how often equal ones are called different, and what the best of them is said to be worth."""
    chance = np.random.default_rng(seed)
    units = Units.of([str(index) for index in range(number)])
    false, naive, drawn, covered = 0, [], [], 0
    for _ in range(sets):
        truths = np.clip(0.8 + spread * chance.standard_normal(models), 0.05, 0.99)
        record = np.sqrt(0.6) * chance.standard_normal(number)
        right = record + np.sqrt(0.4) * chance.standard_normal((models, number)) < norm.ppf(truths)[:, None]
        outcomes = {
            str(index): Outcomes({"correct": one.astype(float)}, np.zeros(number, bool))
            for index, one in enumerate(right)
        }
        ranking = rank_outcomes(outcomes, units, "accuracy", 500, seed)
        false += any(one.verdict in ("better", "worse") for one in ranking.pairs.values())
        best = ranking.best_of(list(outcomes))
        naive.append(ranking.estimates[best].value - truths[int(best)])
        shrunk = ranking.shrunk_best(list(outcomes))
        assert shrunk is not None
        drawn.append(shrunk.value - truths[int(best)])
        covered += shrunk.low <= truths[int(best)] <= shrunk.high
    return {
        "n": number,
        "runs": models,
        "spread": spread,
        "some pair named": false / sets,
        "best, as measured": float(np.mean(naive)),
        "best, as reported": float(np.mean(drawn)),
        "covered": covered / sets,
    }


def size_of_the_test(number: int, discordance: float) -> Row:
    """Exact: how often McNemar's mid-p is below 0.05 though nothing changed."""
    changed = np.arange(number + 1)
    rejected = [
        sum(
            float(binom.pmf(gained, many, 0.5))
            for gained in range(many + 1)
            if mcnemar_mid_p(gained, many - gained) < 0.05
        )
        for many in changed
    ]
    return {
        "n": number,
        "changed": discordance,
        "better or worse": float(binom.pmf(changed, number, discordance) @ np.array(rejected)),
    }
