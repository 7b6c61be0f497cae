from __future__ import annotations

import random

import numpy as np
import pytest
from sacrebleu import corpus_bleu

from tests.metrics.made import agree, marked
from tunesmith.metrics import Outcomes
from tunesmith.metrics.bleu import bleu
from tunesmith.tasks._overlap import BLEU_MARKS, bleu_counts

WORDS = ["the", "cat,", "sat", "on", "a", "Mat.", "12", "dogs", "ran-away"]


def answered(answers: list[str], references: list[list[str]]) -> Outcomes:
    counted = [bleu_counts(said, wanted) for said, wanted in zip(answers, references, strict=True)]
    return marked({name: [one[name] for one in counted] for name in BLEU_MARKS})


def sentences(number: int, seed: int, longest: int = 12) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=chance.randint(1, longest))) for _ in range(number)]


def theirs(answers: list[str], references: list[list[str]], weights: np.ndarray) -> float:
    """What sacrebleu makes of the answers, each as often as its weight."""
    drawn = np.repeat(np.arange(len(answers)), weights.astype(int))
    most = max(map(len, references))
    streams = [[references[at][n] if n < len(references[at]) else None for at in drawn] for n in range(most)]
    return corpus_bleu([answers[at] for at in drawn], streams).score  # type: ignore[arg-type]


def test_it_is_sacrebleus_of_all_answers_and_of_any_resample() -> None:
    answers = [*sentences(40, 0), ""]
    references = [[first, second] for first, second in zip(sentences(41, 1), sentences(41, 2), strict=True)]
    references[3] = references[3][:1]
    agree(bleu, answered(answers, references), lambda weights: {"bleu": theirs(answers, references, weights)})


@pytest.mark.parametrize(
    ("answers", "references"),
    [
        (["the cat sat on a mat", "no"], ["the cat sat on a mat", "dogs ran on a mat"]),
        (["cat dogs the a on sat"], ["the cat sat on a mat"]),
        (["x y z w v"], ["the cat sat on a mat"]),
        (["the cat", "sat"], ["the cat sat on a mat", "sat"]),
        (["the cat sat on the the the cat"], ["the cat sat on"]),
    ],
)
def test_it_is_sacrebleus_where_runs_of_some_length_are_missing(
    answers: list[str], references: list[str]
) -> None:
    outcomes, weights = answered(answers, [[one] for one in references]), np.ones(len(answers))
    expected = theirs(answers, [[one] for one in references], weights)
    assert bleu(outcomes, weights) == pytest.approx({"bleu": expected})


def test_answers_of_a_word_or_two_have_none_rather_than_zero() -> None:
    outcomes = answered(["yes", "no"], [["yes"], ["yes"]])
    assert np.isnan(bleu(outcomes, np.ones(2))["bleu"])
    assert np.isnan(bleu(marked({"other": [1.0]}), np.ones(1))["bleu"])
