from __future__ import annotations

import doctest
import re
import string
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tunesmith.tasks import _words
from tunesmith.tasks._words import content_words, squad_words, vqa_words


def test_the_examples_in_the_docstrings_are_true() -> None:
    assert doctest.testmod(_words).failed == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Two dogs!", "2 dogs"),
        ("ten", "10"),
        ("eleven", "eleven"),
        ("A an THE", ""),
        ("dont", "don't"),
        ("couldnt've", "couldn't've"),
        ("couldn'tve", "couldn't've"),
        ("yall'd've", "y'all'd've"),
        ("its", "its"),
        ("she's", "she's"),
        ("hell", "hell"),
        ("red, white", "red white"),
        ("red,white", "red white"),
        ("ping-pong", "ping pong"),
        ("ping- pong", "ping pong"),
        ("ping-pong , tennis-ball", "ping pong tennis ball"),
        ("3,000-4,000", "3000-4000"),
        ("U.S.A.", "usa"),
        ("$1.50.", "$1.50"),
        ("it's 4:30", "it's 4:30"),
        ("yes\n", "yes"),
        ("one\tway", "1 way"),
    ],
)
def test_vqa_words_follow_the_official_grader(text: str, words: str) -> None:
    assert " ".join(vqa_words(text)) == words


def of_the_official_grader(text: str) -> list[str]:
    """Words as the grader of SQuAD has them, in own words."""
    bare = "".join(one for one in text.lower() if one not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


@given(some.text("abthen AN.,;!?'\"()[]&_ \n", max_size=40))
def test_words_of_squad_are_those_of_its_grader_where_no_mark_changes_what_is_said(text: str) -> None:
    assert squad_words(text) == of_the_official_grader(text)


@pytest.mark.parametrize("words", [squad_words, vqa_words, content_words])
@pytest.mark.parametrize(
    ("one", "other"),
    [("-5", "5"), ("−5", "5"), ("(-5)", "5"), ("-$5", "$5"), ("1/2", "12"), ("10-12", "1012"), ("C#", "C"),
      ("C++", "C"),
     ("C++", "C#"), ("A-", "A"), ("AB+", "AB-"), ("12 - 3", "12 * 3"), ("x+5", "x5"), ("10:30", "1030"), ("1.5",
     "15"),
     ("बिल", "बेल"), ("が", "か")],
)  # fmt: skip
def test_marks_that_change_what_is_said_stay_under_every_normalisation(words, one: str, other: str) -> None:  # type: ignore[no-untyped-def]
    if words is not content_words or one != "12 - 3":
        assert words(one) != words(other)
    assert words(one)


@pytest.mark.parametrize("words", [squad_words, vqa_words])
@pytest.mark.parametrize(
    ("one", "other"),
    [("体育", "体育。"), ("体育", "「体育」"), ("体育", "体育！"), ("−5", "-5"), ("1990 - 1995", "1990–1995"),
      ("50 %", "50%"),
     ("“yes”", "Yes!"), ("هل؟", "هل"), ("٣", "3"), ("है।", "है"), ("STRASSE", "Straße"), ("ＡＢＣ", "abc"),
     ("1,000", "1000"),
     ("l'été", unicodedata.normalize("NFD", "L’été")), ("ไทยดี", "ไทยดี!"), ("Paris\u200b", "paris"), ("U.S.", "US")],
)  # fmt: skip
def test_what_does_not_change_what_is_said_does_not_matter_in_any_script(words, one: str, other: str) -> None:  # type: ignore[no-untyped-def]
    assert words(one) == words(other) != []


def test_words_of_hindi_keep_their_vowel_signs_and_thai_is_read_by_characters() -> None:
    assert squad_words("हिन्दी में।") == content_words("हिन्दी में।") == ["हिन्दी", "में"]
    assert squad_words("กินข้าว") == ["กิ", "น", "ข้", "า", "ว"]
    assert squad_words("2024年の東京") == ["2024", "年", "の", "東", "京"]
    assert squad_words("한국어 문장.") == ["한국어", "문장"]
