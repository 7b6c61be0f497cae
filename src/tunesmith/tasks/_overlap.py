"""How near the words of an answer come to those of a reference: numbers from 0 to 1."""

from __future__ import annotations

import re
import string
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer

_ARTICLE = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
# Scripts without spaces between words are compared character by character.
_SPACELESS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\u0e00-\u0e7f"
_WORD = re.compile(rf"[{_SPACELESS}]|[^\W_{_SPACELESS}]+")


def squad_words(text: str) -> list[str]:
    """Words in lower case without punctuation and articles (Rajpurkar et al. 2016, official grader).

    >>> squad_words("The  Eiffel-Tower, a landmark!")
    ['eiffeltower', 'landmark']
    """
    return _ARTICLE.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def exact_match(answer: str, reference: str) -> float:
    """1 if both have the same words in the same order after normalisation (Rajpurkar et al. 2016), else 0."""
    return float(squad_words(answer) == squad_words(reference))


def token_f1(answer: str, reference: str) -> float:
    """Harmonic mean of the shares of shared words (Rajpurkar et al. 2016, section 6.1).

    Where one of the two has no word left, it is 1 if the other has none either, else 0 (SQuAD 2.0).
    """
    said, wanted = squad_words(answer), squad_words(reference)
    if not said or not wanted:
        return float(said == wanted)
    return 2 * (Counter(said) & Counter(wanted)).total() / (len(said) + len(wanted))


def rouge_l(answer: str, reference: str) -> float:
    """F-measure of the longest common subsequence of words (Lin 2004, section 3), by rouge-score."""
    return float(_scorer().score(reference, answer)["rougeL"].fmeasure)


@cache
def _scorer() -> RougeScorer:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], tokenizer=_Words())


class _Words:
    """Words of any script; the library's own tokenizer knows Latin letters only."""

    def tokenize(self, text: str) -> list[str]:
        """Words in lower case, without punctuation."""
        return _WORD.findall(text.lower())
