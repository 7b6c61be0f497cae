"""Two normal forms of a text. The exact form decides whether two texts are the same; the loose form, a list of words,
decides whether they look alike.

The exact form only undoes differences that no reader can see: Unicode composition, line ends, white space at both
ends. The loose form also folds case, accents, width, HTML, invisible characters, white space and most punctuation. It
keeps what changes the meaning: digits, signs, operators, `#` and `+`. What the loose form drops of brackets, question
marks and the like is counted apart, by `marks`.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from tunesmith.images.picture import Picture

# Scripts that put no space between words; each of their characters counts as a word.
_SOUTH_EAST_ASIAN = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_EAST_ASIAN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_UNSPACED = _SOUTH_EAST_ASIAN + _EAST_ASIAN
# Vowel signs and points, which are part of words and which `\w` leaves out.
_SIGNS = (
    "\u0591-\u05bd\u05bf-\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8"
)
_SIGNS += "\u0900-\u0963\u0966-\u0dff"
_LETTER = rf"[^\W_{_UNSPACED}]|[{_SIGNS}]"

# Within a piece of text without white space; what stands alone is in `_ALONE`.
_TOKEN = re.compile(
    rf"""
    [{_UNSPACED}]
    | (?<![^([{{=<>,;:*/^|&"'])[+-](?:\d+(?:[.,:/]\d+)*|\.\d+)         # a number with its sign
    | (?:(?<!\w)\.)?\d+(?:[.,:/]\d+)*                                  # a number, a date, a time
    | (?:{_LETTER})(?:_*(?:{_LETTER}))*                                # a word or an identifier
    | (?<=\w)(?:\+\+|[\#+](?![\w+\#]))                                 # as in C++ and C#
    | \#(?=\w) | @(?=\w) | (?<!\w)!(?=\w)
    | [-+*/%&|^]=|(?<=[\w)\]])//(?=[\w(])|[=!]==?|<=|>=|->|=>|<-|&&|\|\||<<|>>|:=|\*\*(?=[\w(])
    | [=<>%^~&|$+]
    | (?<=[\w)\]\}}])\*(?=[\w(\[])
    | (?<![^\W\d][^\W\d])(?<=[\w)\]\}}])[-/](?=[\w(])                  # not within well-known, and/or
    | (?<=[\w)\]\}}])[-/](?=[\w(])(?![^\W\d][^\W\d])
    | [^\w\s\x00-\x7f{_SIGNS}]
    """,
    re.VERBOSE,
)
_ALONE = {"-": ("-",), "*": ("*",), "/": ("/",), "//": ("//",), "**": ("**",)}
"""Operators that stand between white space."""
_LONGEST_KEPT, _MOST_KEPT = 30, 2**17

_INLINE = (
    "a|abbr|b|big|cite|code|del|em|font|i|ins|kbd|mark|q|s|samp|small|span|strike|strong|sub|sup|tt|u|var"
)
_BLOCK = (
    "address|article|aside|blockquote|body|br|button|caption|center|col|colgroup|dd|details|div|dl|dt|fieldset|figcaption"
    "|figure|footer|form|h[1-6]|head|header|hr|html|iframe|img|input|label|legend|li|link|main|meta|nav|ol|option|p|pre"
    "|section|select|summary|table|tbody|td|textarea|tfoot|th|thead|title|tr|ul|wbr"
)
_ATTRIBUTES = r"(?:\s+[\w:-]+\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s\"'<>=]+))*\s*/?>"
_INLINE_TAG = re.compile(rf"</?(?:{_INLINE}){_ATTRIBUTES}", re.IGNORECASE)
_BLOCK_TAG = re.compile(
    rf"</?(?:{_BLOCK}){_ATTRIBUTES}|<!--.*?-->|<!doctype[^>]*>", re.IGNORECASE | re.DOTALL
)
_BULLET = re.compile(r"^[ \t]*(?:[-*+\u2022#>]+|\d+[.)])[ \t]+(?=\S)", re.MULTILINE)
_WITHIN = re.compile(r"(?<=\w)'(?=\w)|(?<=[^\W\d][^\W\d])[-.](?=[^\W\d][^\W\d])")
"""An apostrophe, a hyphen or a point within a word or a name."""
_ACCENT = re.compile("[\u0300-\u036f]")
_LATIN, _OTHER = re.compile("[a-z]"), re.compile("[\u0370-\u04ff]")
_MIXED = re.compile(r"[a-z\u0370-\u04ff]+")
_LOOK_ALIKES = str.maketrans("аеорсухіјѕһԁкмтвнгαορνικτυχβε", "aeopcyxijshdkmtbhraopviktuxbe")

_MARKS = ("?", ".", ":", ";", "(", ")", "[", "]", "{", "}", "/", "\\")
_MOST = 15
"""The most that is counted of a mark: four bits each."""


def exact(text: str) -> str:
    """The text in Unicode form NFC, with plain line ends and without white space at both ends. Texts with equal exact
    forms are the same text.

    >>> exact("cafe\\u0301 \\r\\n") == exact("caf\\u00e9")
    True
    """
    text = text.strip()
    if text.isascii():
        return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))


def loose(text: str) -> list[str]:
    """The words of the loose form: numbers with their signs, operators, and words without case and accents; in scripts
    without spaces each character. A text with no word in it is one word of its own.

    >>> loose("The <b>Caf\\u00e9</b>, at -40 &amp; C#!")
    ['the', 'cafe', 'at', '-40', '&', 'c', '#']
    >>> loose("12 * 3"), loose("12 - 3")
    (['12', '*', '3'], ['12', '-', '3'])
    """
    return words(fold(text))


def words(folded: str) -> list[str]:
    """The words of a text that is folded already; see `loose`."""
    found: list[str] = []
    pieces = folded.split()
    for piece in pieces:
        found += _known.get(piece) or _words_of(piece)
    return found or pieces


def _words_of(piece: str) -> tuple[str, ...]:
    """The words in a piece of text without white space. Most pieces are common words, so they are remembered."""
    joined = _WITHIN.sub("", piece) if "'" in piece or "-" in piece or "." in piece else piece
    found = tuple(_TOKEN.findall(joined))
    if len(piece) <= _LONGEST_KEPT:
        if len(_known) >= _MOST_KEPT:
            _known.clear()
            _known.update(_ALONE)
        _known[piece] = found
    return found


_known: dict[str, tuple[str, ...]] = dict(_ALONE)


def fold(text: str) -> str:
    """The text without case, accents, width, HTML, invisible characters and doubled white space.

    >>> fold("  Ｈello,\\tWORLD! ")
    'hello, world!'
    """
    if "<" in text or "&" in text:
        text = _without_html(text)
    if "\n" in text:
        text = _BULLET.sub("", text)
    if text.isascii():
        folded = text.casefold()
    else:
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
        folded = folded.translate(_FOLDED)
        folded = unicodedata.normalize("NFC", _ACCENT.sub("", unicodedata.normalize("NFD", folded)))
        if _OTHER.search(folded) and _LATIN.search(folded):
            folded = _MIXED.sub(_in_one_script, folded)
    return " ".join(folded.split())


def marks(folded: str) -> int:
    """How often each of `? . : ; ( ) [ ] { } / \\` occurs in a folded text, four bits each; at most 15 are counted.
    `!` counts as a full stop.

    >>> hex(marks("is it (so)? yes!"))
    '0x110011'
    """
    folded = folded.replace("!", ".")
    return sum(
        min(folded.count(mark), _MOST) << 4 * place for place, mark in enumerate(_MARKS) if mark in folded
    )


def text_of(value: Any) -> str:
    """All text in a JSON-like value, in order; of a chat message only its content. A picture counts as the hash of its
    file.

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


def question_of(value: Any) -> Any:
    """The value without what is answered: of a list of chat messages, all but the assistant's last one.

    >>> question_of([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}])
    [{'role': 'user', 'content': 'Hi'}]
    """
    if isinstance(value, list | tuple) and len(value) > 1:
        last = value[-1]
        if isinstance(last, Mapping) and "content" in last and last.get("role") == "assistant":
            return value[:-1]
    return value


def _without_html(text: str) -> str:
    for _ in range(2):
        text = html.unescape(text)
    return _BLOCK_TAG.sub(" ", _INLINE_TAG.sub("", text)) if "<" in text else text


def _in_one_script(match: re.Match[str]) -> str:
    """A word of Latin and other letters with the others replaced by the Latin letters that look like them."""
    word = match[0]
    return word.translate(_LOOK_ALIKES) if _LATIN.search(word) and not word.isascii() else word


_SINGLE = {
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02bc\u00b4\u2035`", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033", '"'),
    **dict(zip("\u2212\u00d7\u00f7\u2215\u2044\u2217\u22c5", "-*///**", strict=True)),
    **dict(zip("\u3002\u3001\u061f\u061b\u060c", ".,?;,", strict=True)),
    **dict(zip("øłđıæœ", ("o", "l", "d", "i", "ae", "oe"), strict=True)),
    "\u2260": "!=", "\u2264": "<=", "\u2265": ">=", "\u2026": "...", "\u2192": "->",
}  # fmt: skip

_HYPHENS = (0x2010, 0x2011, 0xFE63, 0xFF0D)


class _Folded(dict[int, int | str | None]):
    """What becomes of a character: ASCII for quotes, dashes and signs, a space for other punctuation, nothing for what
    is invisible (category Cf). Filled as characters come, for Unicode has a million of them."""

    def __missing__(self, code: int) -> int | str | None:
        kind = unicodedata.category(chr(code))
        folded: int | str | None = _SINGLE.get(chr(code), code)
        if folded == code and code > 127:
            folded = (
                None
                if kind == "Cf"
                else "-"
                if code in _HYPHENS
                else " - "
                if kind == "Pd"
                else " "
                if kind[0] == "P"
                else code
            )
        self[code] = folded
        return folded


_FOLDED = _Folded()
