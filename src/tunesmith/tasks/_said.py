"""Which label an answer names: the label alone, or with what a person would look past around it.

Layers are taken off one at a time (quotes, brackets, emphasis, bullets, final punctuation, `The answer is`, a control
token), and what is left must be a label as a whole. A label is never looked for inside other words, so that what is
negated, doubtful or names two labels stays unread.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from tunesmith.tasks import Unread

_LONGEST = 2000
"""Characters beyond which an answer is no label with something around it."""

_WRAPPING = "\"'`*“”‘’«» \t\r\n"
_FOLDED_FORMS = ("<wide>", "<narrow>", "<noBreak>", "<initial>", "<medial>", "<final>", "<isolated>")
_ENDS = ".!,:;…。！，、；：｡۔،؛।॥።"
_FENCE = re.compile(r"```\w*\s*(.*?)\s*(?:```)?", re.DOTALL)
_TAG = re.compile(r"<(answer|label|category|class|output|result)>(.*)</\1>", re.DOTALL | re.IGNORECASE)
_CONTROL = re.compile(r"(?:<\|[^|<>]*\|>|</?s>|<eos>|<(?:end_of_turn|start_of_turn)>)+")
_ROLE = re.compile(r"(?:assistant|model)\s*[:\n]\s*", re.IGNORECASE)
_LATEX = re.compile(
    r"\\(?:boxed|text|textbf|textit|mathrm|mathbf)\{(.*)\}|\\\((.*)\\\)|\$+(.*?)\$+", re.DOTALL
)
_BULLET = re.compile(r"(?:[-+–—](?=\s+\D)|[•*·▪◦‣>](?=\s)|#+(?=\s*[^\W\d_]))\s*")
_NUMBERED = re.compile(r"\(?\d{1,2}[.)、]\s+(?=\D)")
_BECAUSE = re.compile(
    r"(?<![\s,.;:–—(-])[\s,.;:–—(-]+(?:because|since|due to|reason\b|explanation\b|"
    r"因为|因為|理由|原因|なぜなら|weil|porque|parce que|потому)",
    re.IGNORECASE,
)
_DOUBT = re.compile(
    r"\b(?:not|no|never|neither|but|however|or|maybe|perhaps|unsure|wait|actually|instead|although)\b|n't\b|不|没|但",
    re.IGNORECASE,
)

_NOUNS = (
    "answer|category|class|label|topic|sentiment|prediction|result|output|classification|type|genre|emotion|intent|"
    "option|choice|response|verdict|rating|grade|tag|tone|stance|subject|theme|section"
)
_TEXTS = (
    "article|text|review|sentence|passage|post|tweet|message|news|document|email|comment|headline|story|picture|image|"
    "photo|movie|film|statement|description|paragraph"
)
_LEADS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?:sure|certainly|of course|okay|ok|so|therefore|thus)[,!.:]\s+",
        r"i\s+(?:think|believe|would\s+say|choose|pick|select)\s+(?:that\s+)?",
        rf"(?:(?:the|this|its|my|that)\s+)?(?:(?:final|correct|best|predicted|right|most likely)\s+)*(?:{_NOUNS})"
        rf"(?:\s+(?:of|for)\s+(?:the|this|that)\s+(?:{_TEXTS}))?\s*(?:(?:is|would be)\b\s*:?|[:=]|[-–—]+>?(?=\s)|→)\s*"
        r"(?:the\s+(?=\w))?",
        rf"(?:this|that|it|(?:the|this)\s+(?:{_TEXTS}))\s+(?:is|belongs\s+to|falls\s+(?:under|into))\s+"
        r"(?:about\s+|classified\s+as\s+|labell?ed\s+(?:as\s+)?)?(?:the\s+)?"
        r"(?:(?:category|class|topic|label)(?:\s+of)?\s*:?\s+)?",
        r"(?:(?:最终)?答案|回答|答|类别|類別|分类|分類|标签|標籤|主题|主題|结果|結果|情感|选项|選項|カテゴリー?|ラベル|答え|"
        r"トピック|正解|정답|답변?|카테고리|분류|라벨|레이블|주제|คำตอบ|หมวดหมู่|ประเภท)"
        r"\s*(?:是|为|為|は|은|는|คือ|[:=])\s*:?\s*",
        r"(?:[这該该本此](?:篇|则|條|条|个|段|张)?(?:文章|新闻|文本|评论|句子|内容|图片|报道)?)?(?:属于|屬於|是关于|是)\s*",
        r"(?:(?:die|der|das|la|le|el|il|o|a|de|het)\s+)?(?:antwort|kategorie|klasse|thema|réponse|catégorie|classe|thème|"
        r"sujet|respuesta|categoría|clase|tema|etiqueta|risposta|categoria|argomento|resposta|antwoord|odpowiedź|"
        r"kategoria|cevap|yanıt|kategori|jawaban|svar|vastaus|odpověď|válasz|răspuns|απάντηση|κατηγορία|ответ|категория|"
        r"класс|тема|відповідь|категорія|الإجابة|الجواب|الفئة|التصنيف|الموضوع|پاسخ|دسته|תשובה|קטגוריה|उत्तर|श्रेणी|वर्ग|"
        r"विषय|উত্তর|பதில்|câu trả lời|đáp án|trả lời|danh mục|chủ đề)"
        r"\s*(?:[:=]|(?:ist|est|es|è|é|is|هي|هو|है|là|это)\s)\s*:?\s*",
    )
]
_TAIL = re.compile(
    r"(?:\s*(?:です|である|입니다|이에요|类|類)|\s+है|\s+(?:category|class|label|topic|sentiment|news))$",
    re.IGNORECASE,
)
_SURE = re.compile(
    r"(yes|no)[,.]?\s+(?:it|he|she|they|this|that|there|i|you|we)\s+"
    r"((?:is|are|was|were|does|do|did|has|have|will|would|can|could|should)(?:\s*n[o']t)?|cannot|can't|won't)",
    re.IGNORECASE,
)


def folded(text: str) -> str:
    """The text in NFC with full-width, half-width and positional forms as ordinary characters, digits of all scripts as
    0 to 9, and without characters that cannot be seen (zero width, direction marks).

    >>> folded("Ｙｅｓ\\u200b"), folded("٢")
    ('Yes', '2')
    """
    if text.isascii():
        return text
    kept = (
        unicodedata.normalize("NFKC", one)
        if unicodedata.decomposition(one).startswith(_FOLDED_FORMS)
        else str(unicodedata.decimal(one, one))
        for one in unicodedata.normalize("NFC", text)
        if unicodedata.category(one) != "Cf"
    )
    return unicodedata.normalize("NFC", "".join(kept))


def plain(text: str) -> str:
    """What of a label tells it from another: not case, quotes, white space, nor a full stop."""
    return " ".join(folded(text).strip(_WRAPPING).removesuffix(".").strip(_WRAPPING).casefold().split())


def label_in(text: str, labels: Sequence[str]) -> int | Unread:
    """Index of the label that a text names, or why it names none."""
    exact, loose = _tables(tuple(labels))
    if not plain(text):
        return Unread("is empty")
    seen = list(peeled(text, labels))
    for one in seen:
        if plain(one) in exact:
            return exact[plain(one)]
    for one in seen:
        if _loose(one) in loose:
            return loose[_loose(one)]
    named = labels_named(text, labels)
    if len(named) > 1:
        return Unread(f"names {len(named)} labels ({', '.join(named)})")
    return Unread(f"says more than the label {named[0]!r}" if named else "is none of the labels")


@lru_cache(maxsize=64)
def _tables(labels: tuple[str, ...]) -> tuple[dict[str, int], dict[str, int]]:
    """Indices of labels by their plain form, and by their loose form where only one label has it."""
    loose: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        loose.setdefault(_loose(label), []).append(index)
    return (
        {plain(label): index for index, label in enumerate(labels)},
        {key: found[0] for key, found in loose.items() if len(found) == 1 and key},
    )


def _loose(text: str) -> str:
    """The plain text without spaces, hyphens, underscores, slashes and dots, but for those that are part of a number
    (`-1`, `1.5`, `1/2`); a whole number without `.0`."""
    said = plain(text)
    if re.fullmatch(r"-?\d+\.0+", said):
        return said.partition(".")[0]
    said = re.sub(r"\.(?=\s)", "", said)
    said = re.sub(r"(?<![\d+-])\s+|\s+(?!\d)", "", said)
    return re.sub(r"(?<=[^\W\d])[-_/.](?=[^\W\d])", "", said)


def peeled(text: str, labels: Sequence[str]) -> Iterator[str]:
    """The text, and what is left of it after each way to take layers off, the least first."""
    has_numbers = any(re.fullmatch(r"[-+]?\d+(\.\d+)?", plain(label)) for label in labels)
    waiting = [folded(text).strip()]
    if len(waiting[0]) > _LONGEST:
        yield waiting[0]
        return
    seen: set[str] = set()
    while waiting and len(seen) < 200:
        one = waiting.pop(0)
        if one in seen or not one:
            continue
        seen.add(one)
        yield one
        for peel in _PEELS:
            if peel is _without_number and has_numbers:
                continue
            waiting += [left.strip() for left in peel(one)]
        waiting += [left.strip() for left in (*_without_reason(one, labels), *_of_yes_or_no(one, labels))]


def _without_fence(text: str) -> Iterator[str]:
    match = _FENCE.fullmatch(text)
    if match and text.startswith("```"):
        yield match[1]


def _without_marks(text: str) -> Iterator[str]:
    """Without control tokens, tags, a role, LaTeX."""
    yield _CONTROL.sub("", text)
    for form, groups in ((_TAG, (2,)), (_LATEX, (1, 2, 3))):
        match = form.fullmatch(text)
        yield from (match[group] for group in groups if match and match[group])
    role = _ROLE.match(text)
    if role:
        yield text[role.end() :]


def _without_pair(text: str) -> Iterator[str]:
    """Without quotes or brackets around all of it."""
    if text[-1] in ")]" and not set("([") & set(text):
        yield text[:-1]
    if len(text) < 3:
        return
    first, last = unicodedata.category(text[0]), unicodedata.category(text[-1])
    is_opened = first in ("Ps", "Pi", "Pf") or text[0] in "\"'`*_~<|"
    if is_opened and (last in ("Pe", "Pf", "Pi") or text[-1] in "\"'`*_~>|"):
        yield text[1:-1]


def _without_bullet(text: str) -> Iterator[str]:
    match = _BULLET.match(text)
    if match:
        yield text[match.end() :]


def _without_number(text: str) -> Iterator[str]:
    match = _NUMBERED.match(text)
    if match:
        yield text[match.end() :]


def _without_end(text: str) -> Iterator[str]:
    if text[-1] in _ENDS:
        yield text[:-1]


def _without_lead(text: str) -> Iterator[str]:
    for lead in _LEADS:
        match = lead.match(text)
        if match:
            yield text[match.end() :]


def _without_tail(text: str) -> Iterator[str]:
    match = _TAIL.search(text)
    if match:
        yield text[: match.start()]


def _once(text: str) -> Iterator[str]:
    """What is said several times and nothing else."""
    for parts in (text.splitlines(), text.split()):
        said = [part for part in parts if part.strip()]
        if len(said) > 1 and len({plain(part) for part in said}) == 1:
            yield said[0]


def _alone_in_json(text: str) -> Iterator[str]:
    """The text in a JSON object or list that holds nothing else."""
    if text[0] not in "{[":
        return
    try:
        held = json.loads(text)
    except (ValueError, RecursionError):
        return
    values = list(held.values()) if isinstance(held, dict) else held
    if isinstance(values, list) and len(values) == 1 and isinstance(values[0], str):
        yield values[0]


_PEELS: tuple[Callable[[str], Iterator[str]], ...] = (
    _without_fence, _without_marks, _without_pair, _without_bullet, _without_number, _without_end, _without_lead,
    _without_tail, _once, _alone_in_json,
)  # fmt: skip


def _without_reason(text: str, labels: Sequence[str]) -> Iterator[str]:
    """What stands before `because`, if what stands behind it names no other label and casts no doubt."""
    match = _BECAUSE.search(text)
    if match:
        head, rest = text[: match.start()], text[match.end() :]
        same = {plain(label) for label in labels_named(head, labels)}
        others = {plain(label) for label in labels_named(rest, labels)} - same
        if not others and not _DOUBT.search(rest):
            yield head


def _of_yes_or_no(text: str, labels: Sequence[str]) -> Iterator[str]:
    """`Yes` of `Yes, it is.`, and `No` of `No, it isn't.`, where those are labels and nothing more is said."""
    match = _SURE.match(text)
    if not match or not {"yes", "no"} <= {plain(label) for label in labels}:
        return
    is_negated = re.search(r"n[o']t|n't", match[2], re.IGNORECASE) is not None
    if len(text[match.end() :].strip(_ENDS + " ")) == 0 and is_negated == (match[1].lower() == "no"):
        yield match[1]


def labels_named(text: str, labels: Sequence[str]) -> list[str]:
    """Labels that stand in the text as whole words; of labels within one another the longest."""
    longest_first = sorted(labels, key=len, reverse=True)
    found = re.findall(
        rf"(?<!\w)(?:{'|'.join(re.escape(folded(label).casefold()) for label in longest_first)})(?!\w)",
        folded(text).casefold(),
    )
    return [label for label in labels if folded(label).casefold() in found]
