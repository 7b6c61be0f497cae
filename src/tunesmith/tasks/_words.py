"""What two answers are compared by: their words, after what does not matter is taken away."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from typing import Literal

Normalise = Literal["squad", "vqa"]
"""Whose rules say what does not matter in an answer."""

_ARTICLE = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)

_VQA_MARKS = ';/[]"{}()=+\\_-><@`,?!'
_VQA_NUMBERS = {"none": "0"} | {
    word: str(number)
    for number, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    )
}
_WITH_APOSTROPHES = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't
    he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've
    mustn't needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've
    somebody'd somebody'd've somebody'll somebody's someone'd someone'd've someone'll someone's something'd
    something'd've something'll that's there'd there'd've there're there's they'd they'd've they'll they're
    they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's where'd where's where've
    who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've y'all y'all'll
    y'all'd've you'd you'd've you'll you're you've
"""
_VQA_CONTRACTIONS = {
    word[:place] + word[place + 1 :]: word
    for word in _WITH_APOSTROPHES.split()
    for place, letter in enumerate(word)
    if letter == "'"
}


def squad_words(text: str) -> list[str]:
    """Words in lower case without punctuation and articles (Rajpurkar et al. 2016, official grader).

    >>> squad_words("The  Eiffel-Tower, a landmark!")
    ['eiffeltower', 'landmark']
    """
    return _ARTICLE.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def vqa_words(text: str) -> list[str]:
    """Words in lower case without punctuation and articles, number words up to ten as digits, contractions
    with their apostrophes (Antol et al. 2015, official grader, `processPunctuation`, `processDigitArticle`).

    A mark is taken away if it stands beside a space anywhere in the text, or if the text has a comma between
    digits; else it becomes a space. A full stop stays only before a digit.

    >>> vqa_words("The dog isnt on two  chairs."), vqa_words("None")
    (['dog', "isn't", 'on', '2', 'chairs'], ['0'])
    >>> vqa_words("black/white"), vqa_words("black / white"), vqa_words("1,000 T-shirts"), vqa_words("2.5 m.")
    (['black', 'white'], ['black', 'white'], ['1000', 'tshirts'], ['2.5', 'm'])
    """
    text = text.replace("\n", " ").replace("\t", " ").strip()
    has_thousands = re.search(r"\d,\d", text) is not None
    cleaned = text
    for mark in _VQA_MARKS:
        is_apart = f"{mark} " in text or f" {mark}" in text
        cleaned = cleaned.replace(mark, "" if is_apart or has_thousands else " ")
    words = [_VQA_NUMBERS.get(word, word) for word in re.sub(r"\.(?!\d)", "", cleaned).lower().split()]
    return [_VQA_CONTRACTIONS.get(word, word) for word in words if word not in ("a", "an", "the")]


WORDS: dict[Normalise, Callable[[str], list[str]]] = {"squad": squad_words, "vqa": vqa_words}
