"""Text as it is compared: two texts that a reader would call the same are the same here."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from tunesmith.data.picture import Picture

# Scripts that put no space between words; each of their characters counts as a word.
_SOUTH_EAST_ASIAN = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_EAST_ASIAN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_UNSPACED = _SOUTH_EAST_ASIAN + _EAST_ASIAN
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")


def normalise(text: str) -> str:
    """The text in Unicode form NFKC, without case, punctuation, invisible characters and doubled white space.
    A text of nothing but punctuation keeps it.

    >>> normalise("  Ｈello,\\tWORLD! ")
    'hello world'
    >>> normalise("?!")
    '?!'
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.translate(_FOLDED).split()) or " ".join(folded.split())


def words(normalised: str) -> list[str]:
    """The words of a normalised text; a character each in scripts without spaces.

    >>> words("good 早上好")
    ['good', '早', '上', '好']
    """
    return normalised.split() if normalised.isascii() else _WORD.findall(normalised)


def text_of(value: Any) -> str:
    """All text in a JSON-like value, in order; of a chat message only its content. A picture counts as
    the hash of its file.

    >>> text_of([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}])
    'Hi Ho'
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, Picture):
        return value.sha256
    if isinstance(value, Mapping):
        return text_of(value["content"]) if "content" in value else text_of(list(value.values()))
    if isinstance(value, list | tuple):
        return " ".join(map(text_of, value))
    return str(value)


class _Folded(dict[int, int | str | None]):
    """What becomes of a character: a space of punctuation, nothing of what is invisible (category Cf). Filled as
    characters come, for Unicode has a million of them."""

    def __missing__(self, code: int) -> int | str | None:
        kind = unicodedata.category(chr(code))
        self[code] = None if kind == "Cf" else " " if kind[0] == "P" else code
        return self[code]


_FOLDED = _Folded()
