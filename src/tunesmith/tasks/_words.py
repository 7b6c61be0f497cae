"""What two answers are compared by: their words, after what does not matter is taken away."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Literal

from tunesmith.tasks._said import folded

Normalise = Literal["squad", "vqa"]
"""Whose rules say what does not matter in an answer."""

_ARTICLES = ("a", "an", "the")

# Scripts that are written without spaces between words: these are compared character by character.
_SPACELESS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x0F00, 0x109F),  # Tibetan, Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007), (0x3021, 0x302F), (0x3031, 0x303C),  # marks among Han
    (0x3040, 0x312F),  # Hiragana, Katakana, Bopomofo
    (0x31A0, 0x31FF),
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA000, 0xA4CF), (0xF900, 0xFAFF),  # Han, Yi
    (0x1B000, 0x1B16F), (0x20000, 0x3FFFF),  # old Kana, rarer Han
)  # fmt: skip

# Marks that change what is said are put aside, under characters for private use, before punctuation is taken away:
# the sign of a number, what stands between two numbers, and what ends a name such as C# or A+.
_DIGIT = r"[0-9]"
_CURRENCY = r"[$€£¥₹₩]"
_SIGNIFICANT = [
    re.compile(pattern)
    for pattern in (
        rf"(?<![\w)\]{{}}.,])(?P<mark>[-+])(?={_CURRENCY}?\.?{_DIGIT})",
        rf"(?<={_DIGIT})(?P<mark>[-/:.×÷*^%])(?={_DIGIT})",
        rf"(?<![\w.])(?P<mark>\.)(?={_DIGIT})",
        r"(?<=\w)(?P<mark>[+=<>^])(?=\w)",
        r"(?<=\s)(?P<mark>[+*=<>])(?=\s)",
        r"(?<=[^\W\d_])(?P<mark>#|\++)(?![^\W_])",
        r"(?<=\b[^\W\d_])(?P<mark>-)(?![\w-])",
        r"(?<=\b[^\W\d_]{2})(?P<mark>-)(?!\s*[\w-])",
        rf"(?<={_DIGIT})(?P<mark>%)",
        rf"(?P<mark>{_CURRENCY})(?=\.?{_DIGIT})",
    )
]
_ASIDE = {mark: chr(0xE000 + index) for index, mark in enumerate("-+/:.×÷*^%=<>#$€£¥₹₩")}
_AWAY = str.maketrans(_ASIDE)
_BACK = {ord(aside): mark for mark, aside in _ASIDE.items()}

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
    """Words in lower case without punctuation and articles (Rajpurkar et al. 2016, official grader), in any script.

    Other than there, marks that change what is said stay (the sign of `-5`, the point of `1.5`, `C#`), and scripts
    without spaces between words are taken character by character.

    >>> squad_words("The  Eiffel-Tower, a landmark!")
    ['eiffeltower', 'landmark']
    >>> squad_words("-5 °C, C#."), squad_words("北京。"), squad_words("U.S.A.")
    (['-5', '°c', 'c#'], ['北', '京'], ['usa'])
    """
    kept = "".join(
        one
        for one in _guarded(text)
        if not unicodedata.category(one).startswith("P") and one not in "$+<=>^`|~"
    )
    return _split(word for word in kept.split() if word not in _ARTICLES)


def vqa_words(text: str) -> list[str]:
    """Words in lower case without punctuation and articles, number words up to ten as digits, contractions
    with their apostrophes (Antol et al. 2015, official grader, `processPunctuation`, `processDigitArticle`), in any
    script; signs and scripts without spaces as in `squad_words`.

    A mark is taken away if it stands beside a space anywhere in the text, or if the text has a comma between
    digits; else it becomes a space. A full stop stays only before a digit.

    >>> vqa_words("The dog isnt on two  chairs."), vqa_words("None")
    (['dog', "isn't", 'on', '2', 'chairs'], ['0'])
    >>> vqa_words("black/white"), vqa_words("black / white"), vqa_words("1,000 T-shirts"), vqa_words("2.5 m.")
    (['black', 'white'], ['black', 'white'], ['1000', 'tshirts'], ['2.5', 'm'])
    """
    text = _guarded(text).strip()
    has_thousands = re.search(r"\d,\d", text) is not None
    cleaned = text
    for mark in _VQA_MARKS:
        is_apart = f"{mark} " in text or f" {mark}" in text
        cleaned = cleaned.replace(mark, "" if is_apart or has_thousands else " ")
    cleaned = re.sub(r"\.(?!\d)", "", cleaned)
    cleaned = "".join(
        one for one in cleaned if one.isascii() or not unicodedata.category(one).startswith("P")
    )
    words = [_VQA_NUMBERS.get(word, word) for word in cleaned.split()]
    return _split(_VQA_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def _guarded(text: str) -> str:
    """The folded text in lower case, with the marks that change what is said put aside."""
    text = " ".join(folded(text).casefold().replace("’", "'").split())
    text = re.sub(r"(?<!\w)[−–](?=\.?[0-9])|(?<=[0-9])\s*[−–]\s*(?=[0-9])", "-", text.replace("−", "-"))
    text = re.sub(r"(?<=[0-9])\s+([-+*/×÷^=<>])\s+(?=[0-9])", r"\1", re.sub(r"(?<=[0-9])\s+(?=%)", "", text))
    for form in _SIGNIFICANT:
        text = form.sub(lambda match: match["mark"].translate(_AWAY), text)
    return text


def _split(words: Iterator[str]) -> list[str]:
    """The words with those of scripts without spaces split into characters, and what was put aside put back."""
    return [part.translate(_BACK) for word in words for part in in_characters(word)]


def in_characters(word: str) -> Iterator[str]:
    """The word itself; or, where its script has no spaces between words, its characters with their marks.

    >>> list(in_characters("2024年北京")), list(in_characters("กิน")), list(in_characters("हिन्दी"))
    (['2024', '年', '北', '京'], ['กิ', 'น'], ['हिन्दी'])
    """
    if word.isascii():
        yield word
        return
    piece = ""
    is_alone = False
    for one in word:
        is_mark = unicodedata.category(one).startswith("M")
        if is_mark and piece:
            piece += one
            continue
        is_alone_now = is_spaceless(one)
        if piece and (is_alone or is_alone_now):
            yield piece
            piece = ""
        piece += one
        is_alone = is_alone_now
    if piece:
        yield piece


def is_spaceless(character: str) -> bool:
    """True for a character of a script that is written without spaces between words."""
    return any(first <= ord(character) <= last for first, last in _SPACELESS)


def content_words(text: str) -> list[str]:
    """Words of any script in lower case, without punctuation: runs of letters, digits and the marks that belong to
    them. Signs and scripts without spaces as in `squad_words`.

    >>> content_words("Don't stop, -5 बिल।")
    ['don', 't', 'stop', '-5', 'बिल']
    """
    kept = "".join(one if _is_of_a_word(one) else " " for one in _guarded(text))
    return _split(word for word in kept.replace(_ASIDE["."], " ").replace(_ASIDE[":"], " ").split())


def _is_of_a_word(character: str) -> bool:
    return character in _OF_A_WORD or unicodedata.category(character)[0] in "LNM"


_OF_A_WORD = {_ASIDE[mark] for mark in "-+/.:#"}
WORDS: dict[Normalise, Callable[[str], list[str]]] = {"squad": squad_words, "vqa": vqa_words}
