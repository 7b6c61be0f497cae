from __future__ import annotations

import doctest
import random

import pytest
from rouge_score.rouge_scorer import RougeScorer

from tunesmith.tasks import _overlap
from tunesmith.tasks._overlap import BLEU_MARKS, bleu_counts, exact_match, rouge_l, token_f1


def test_the_examples_in_the_docstrings_are_true() -> None:
    assert doctest.testmod(_overlap).failed == 0


@pytest.mark.parametrize(
    ("answer", "reference", "equal"),
    [
        ("The Beatles!", "beatles", 1.0),
        ("in the  year\n1979", "In year 1979.", 1.0),
        ("anthem", "the anthem", 1.0),
        ("an them", "them", 1.0),
        ("1979", "1980", 0.0),
    ],
)
def test_case_articles_punctuation_and_space_do_not_matter_to_exact_match(
    answer: str, reference: str, equal: float
) -> None:
    assert exact_match(answer, reference) == equal


@pytest.mark.parametrize(
    ("answer", "reference", "f1"),
    [
        ("Denver Broncos", "the Denver Broncos", 1.0),
        ("Denver", "Denver Broncos", 2 / 3),
        ("red red blue", "red blue blue", 2 / 3),
        ("no", "yes", 0.0),
        ("the", "a", 0.0),
        ("A", "a", 1.0),
        ("...", "the", 0.0),
        ("北京市", "北京", 0.8),
        ("我不知道", "我知道", 6 / 7),
        ("-5", "5", 0.0),
        ("the", "cat", 0.0),
    ],
)
def test_token_f1_is_that_of_precision_and_recall_of_shared_words(
    answer: str, reference: str, f1: float
) -> None:
    assert token_f1(answer, reference) == pytest.approx(f1)


def test_bleu_of_chinese_counts_what_sacrebleus_own_tokenizer_for_it_counts() -> None:
    from sacrebleu.metrics.bleu import BLEU

    chance = random.Random(1)
    theirs = BLEU(tokenize="zh", effective_order=True)
    for _ in range(30):
        answer, reference = (
            "".join(
                chance.choices(
                    ["体", "育", "新", "闻", "。", "，", " Beijing ", " 2024 "], k=chance.randint(1, 12)
                )
            )
            for _ in range(2)
        )
        wanted = theirs.sentence_score(answer, [reference])
        counts = bleu_counts(answer, [reference])
        assert [counts[name] for name in BLEU_MARKS] == [wanted.sys_len, wanted.ref_len, *wanted.counts]


def test_rouge_l_of_english_is_the_librarys_own() -> None:
    chance = random.Random(0)
    words = ["the", "cat,", "sat", "on", "a", "Mat", "and", "12", "dogs", "ran-away", "quickly"]
    scorer = RougeScorer(["rougeL"])
    for _ in range(50):
        answer, reference = (" ".join(chance.choices(words, k=chance.randint(1, 12))) for _ in range(2))
        assert rouge_l(answer, reference) == pytest.approx(scorer.score(reference, answer)["rougeL"].fmeasure)


@pytest.mark.parametrize(
    "text", ["القاهرة عاصمة مصر", "Москва столица", "東京は日本の首都です", "über Größe"]
)
def test_rouge_l_reads_other_scripts_than_latin(text: str) -> None:
    assert rouge_l(text, text) == 1.0
    assert 0 < rouge_l(text[: len(text) // 2 + 1], text) < 1
