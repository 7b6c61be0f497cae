from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluate.made import TASK, row, rows
from tests.metrics.made import marked
from tunesmith.config.experiment import Evaluate
from tunesmith.errors import ExperimentError
from tunesmith.evaluate.compare import compare_rows
from tunesmith.evaluate.estimates import Units
from tunesmith.evaluate.ranking import rank, rank_outcomes, shrink

SETTINGS = Evaluate(engine="generate", metrics=["accuracy"], num_resamples=500)  # type: ignore[arg-type]


def test_two_runs_are_compared_as_base_and_tuned_are() -> None:
    first, second = rows(200, 0.6, 0), rows(200, 0.75, 1)
    ranking = rank({"a": first, "b": second}, TASK, SETTINGS, seed=1)
    assert ranking.pairs["a", "b"] == compare_rows(first, second, TASK, SETTINGS, seed=1).metrics["accuracy"]
    assert ranking.best_of(["a", "b"]) == "b"
    assert ranking.equals_of("b", ["a", "b"]) == []
    assert ranking.shrunk_best(["a", "b"]) is None


def test_a_tie_has_no_winner_and_a_clear_best_has_no_equals() -> None:
    answered = {
        name: rows(300, right, seed)
        for seed, (name, right) in enumerate((("a", 0.7), ("b", 0.72), ("c", 0.3)))
    }
    ranking = rank(answered, TASK, SETTINGS, seed=1)
    best = ranking.best_of(list(answered))
    assert ranking.equals_of(best, list(answered)) == [name for name in "ab" if name != best]
    assert ranking.verdict_on(best, "c") == "better"
    assert ranking.verdict_on("c", best) == "worse"


def test_models_compared_with_one_alone_are_corrected_for_those_pairs_only() -> None:
    answered = {
        name: rows(200, right, seed)
        for seed, (name, right) in enumerate((("a", 0.6), ("b", 0.62), ("c", 0.72)))
    }
    every = rank(answered, TASK, SETTINGS, seed=1)
    with_c = rank(answered, TASK, SETTINGS, seed=1, target="c")
    assert list(with_c.pairs) == [("a", "c"), ("b", "c")]
    for pair, change in with_c.pairs.items():
        assert change.p_alone == every.pairs[pair].p_alone
        assert change.p_alone <= change.p_value <= every.pairs[pair].p_value


def test_of_equal_runs_pairs_are_rarely_called_different_and_the_best_is_drawn_to_the_mean() -> None:
    chance = np.random.default_rng(0)
    units = Units.of([str(index) for index in range(250)])
    named, naive, drawn, covered = 0, [], [], 0
    for _ in range(15):
        record = chance.standard_normal(250)
        right = {
            f"run {index}": 0.8 * record + 0.6 * chance.standard_normal(250) < 0.8416 for index in range(6)
        }
        outcomes = {name: marked({"correct": list(one.astype(float))}) for name, one in right.items()}
        ranking = rank_outcomes(outcomes, units, "accuracy", 300, 1)
        named += any(pair.verdict in ("better", "worse") for pair in ranking.pairs.values())
        names = list(outcomes)
        naive.append(ranking.estimates[ranking.best_of(names)].value - 0.8)
        shrunk = ranking.shrunk_best(names)
        assert shrunk is not None
        drawn.append(shrunk.value - 0.8)
        covered += shrunk.low <= 0.8 <= shrunk.high
    assert named <= 4
    assert np.mean(naive) > 0.01
    assert abs(np.mean(drawn)) < np.mean(naive)
    assert covered >= 12


def test_what_really_differs_is_not_drawn_together() -> None:
    chance = np.random.default_rng(0)
    values = np.array([0.2, 0.5, 0.9])
    without = values[:, None] + 0.0001 * chance.standard_normal((3, 200))
    assert shrink(values, without, 2)[0] == pytest.approx(0.9, abs=0.002)
    noisy = values[:, None] + 0.05 * chance.standard_normal((3, 200))
    assert shrink(values, noisy, 2)[0] == pytest.approx(values.mean(), abs=0.05)


def test_runs_on_other_records_are_not_ranked() -> None:
    other = [*rows(9, 0.5, 0), replace(row(9, 0, 0), sha256="other")]
    with pytest.raises(ExperimentError, match="not on the same records"):
        rank({"a": rows(10, 0.5, 0), "b": other}, TASK, SETTINGS, seed=1)
