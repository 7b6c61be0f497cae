from __future__ import annotations

import doctest

import pytest

from tunesmith.tasks import _words
from tunesmith.tasks._words import vqa_words


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
        ("3,000-4,000", "30004000"),
        ("U.S.A.", "usa"),
        ("$1.50.", "$1.50"),
        ("it's 4:30", "it's 4:30"),
        ("yes\n", "yes"),
        ("one\tway", "1 way"),
    ],
)
def test_vqa_words_follow_the_official_grader(text: str, words: str) -> None:
    assert " ".join(vqa_words(text)) == words
