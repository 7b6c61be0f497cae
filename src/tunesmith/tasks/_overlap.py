"""How near the words of an answer come to those of a reference: numbers from 0 to 1, and what BLEU counts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from tunesmith.tasks._words import WORDS, Normalise

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics.bleu import BLEU

# Scripts without spaces between words are compared character by character.
_SPACELESS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\u0e00-\u0e7f"
_WORD = re.compile(rf"[{_SPACELESS}]|[^\W_{_SPACELESS}]+")


def exact_match(answer: str, reference: str, normalise: Normalise = "squad") -> float:
    """1 if both have the same words in the same order after normalisation (Rajpurkar et al. 2016), else 0."""
    words = WORDS[normalise]
    return float(words(answer) == words(reference))


def token_f1(answer: str, reference: str, normalise: Normalise = "squad") -> float:
    """Harmonic mean of the shares of shared words (Rajpurkar et al. 2016, section 6.1).

    Where one of the two has no word left, it is 1 if the other has none either, else 0 (SQuAD 2.0).
    """
    said, wanted = WORDS[normalise](answer), WORDS[normalise](reference)
    if not said or not wanted:
        return float(said == wanted)
    return 2 * (Counter(said) & Counter(wanted)).total() / (len(said) + len(wanted))


def rouge_l(answer: str, reference: str) -> float:
    """F-measure of the longest common subsequence of words (Lin 2004, section 3), by rouge-score."""
    return float(_scorer().score(reference, answer)["rougeL"].fmeasure)


BLEU_MARKS = ("bleu_length", "bleu_reference_length", *(f"bleu_matches_{order}" for order in (1, 2, 3, 4)))


def bleu_counts(answer: str, references: Sequence[str]) -> dict[str, float]:
    """What corpus BLEU sums over answers (Papineni et al. 2002, section 2), by the names in `BLEU_MARKS`: words
    of the answer, words of the reference that is nearest to it in length, and how many of the answer's runs
    of 1 to 4 words are in a reference. Words and counts are those of sacrebleu.

    >>> bleu_counts("the cat sat", ["a cat sat down", "cat"])
    {'bleu_length': 3.0, 'bleu_reference_length': 4.0, 'bleu_matches_1': 2.0, 'bleu_matches_2': 1.0, \
'bleu_matches_3': 0.0, 'bleu_matches_4': 0.0}
    """
    counted = _bleu().sentence_score(answer, references)
    return dict(zip(BLEU_MARKS, map(float, (counted.sys_len, counted.ref_len, *counted.counts)), strict=True))


@cache
def _bleu() -> BLEU:
    from sacrebleu.metrics.bleu import BLEU

    # Only with effective order does it count single answers without a warning; the counts are the same.
    return BLEU(effective_order=True)


@cache
def _scorer() -> RougeScorer:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], tokenizer=_Words())


class _Words:
    """Words of any script; the library's own tokenizer knows Latin letters only."""

    def tokenize(self, text: str) -> list[str]:
        """Words in lower case, without punctuation."""
        return _WORD.findall(text.lower())
