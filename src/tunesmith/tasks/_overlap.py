"""How near the words of an answer come to those of a reference: numbers from 0 to 1, and what BLEU counts."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from tunesmith.tasks._said import folded, plain
from tunesmith.tasks._words import WORDS, Normalise, content_words, in_characters, is_spaceless

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics.bleu import BLEU


def exact_match(answer: str, reference: str, normalise: Normalise = "squad") -> float:
    """1 if both have the same words in the same order after normalisation (Rajpurkar et al. 2016), else 0. Of two
    without words (`the`, `?`) the texts themselves must be the same."""
    said, wanted = WORDS[normalise](answer), WORDS[normalise](reference)
    return float(said == wanted and (bool(said) or _same_text(answer, reference)))


def token_f1(answer: str, reference: str, normalise: Normalise = "squad") -> float:
    """Harmonic mean of the shares of shared words (Rajpurkar et al. 2016, section 6.1).

    Where one of the two has no word left, it is 1 if both are the same text, else 0.
    """
    said, wanted = WORDS[normalise](answer), WORDS[normalise](reference)
    if not said or not wanted:
        return float(said == wanted and _same_text(answer, reference))
    return 2 * (Counter(said) & Counter(wanted)).total() / (len(said) + len(wanted))


def _same_text(first: str, second: str) -> bool:
    return plain(first) == plain(second)


def rouge_l(answer: str, reference: str) -> float:
    """F-measure of the longest common subsequence of words (Lin 2004, section 3), by rouge-score."""
    return float(_scorer().score(reference, answer)["rougeL"].fmeasure)


BLEU_MARKS = ("bleu_length", "bleu_reference_length", *(f"bleu_matches_{order}" for order in (1, 2, 3, 4)))


def bleu_counts(answer: str, references: Sequence[str]) -> dict[str, float]:
    """What corpus BLEU sums over answers (Papineni et al. 2002, section 2), by the names in `BLEU_MARKS`: words
    (in scripts without spaces, characters) of the answer, words of the reference that is nearest to it in length,
    and how many of the answer's runs of 1 to 4 words are in a reference. Words and counts are those of sacrebleu.

    >>> bleu_counts("the cat sat", ["a cat sat down", "cat"])
    {'bleu_length': 3.0, 'bleu_reference_length': 4.0, 'bleu_matches_1': 2.0, 'bleu_matches_2': 1.0, \
'bleu_matches_3': 0.0, 'bleu_matches_4': 0.0}
    """
    counted = _bleu().sentence_score(_spaced(answer), [_spaced(one) for one in references])
    return dict(zip(BLEU_MARKS, map(float, (counted.sys_len, counted.ref_len, *counted.counts)), strict=True))


def _spaced(text: str) -> str:
    """The text with spaces between the characters of scripts that have none between words, so that sacrebleu counts
    them as it does with its own tokenizer for Chinese."""
    if text.isascii() or not any(is_spaceless(one) or "\u3000" <= one <= "\u303f" for one in text):
        return text
    text = folded(text)
    return "".join(
        f" {one} " if unicodedata.category(one).startswith("P") and not one.isascii() else one
        for one in " ".join(part for word in text.split() for part in in_characters(word))
    )


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
        return content_words(text)
