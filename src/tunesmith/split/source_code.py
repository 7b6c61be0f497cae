"""Program text with its names numbered, so that a program whose names were changed is recognised."""

from __future__ import annotations

import builtins
import keyword
import re

FEWEST_TOKENS = 30
_NAME = r"[^\W\d]\w*"
_TOKEN = re.compile(rf"{_NAME}|\d+(?:\.\d+)*|[^\w\s]+?")
_SIGNS = re.compile(r"[(){}\[\]=;<>+*/%_|&:]")
_TYPES = "int|long|float|double|char|bool|boolean|void|string|String|auto|unsigned|size_t|struct|enum"
_BOUND = re.compile(
    rf"\b(?:def|class|function|func|fn|for|let|var|val|const|as|lambda|{_TYPES})\s+[*&]*({_NAME})"
    rf"|\b({_NAME})\s*(?:[-+*/%|&^]|//|\*\*|<<|>>|:)?=(?!=)"
)
_PARAMETERS = re.compile(r"\b(?:def|function|func|fn|lambda)\b[^(\n]*\(([^)]*)\)|\blambda\b([^:\n]*):")
_KEPT = frozenset(
    [*keyword.kwlist, *dir(builtins), *_TYPES.split("|"), "self", "cls", "this", "new", "func", "fn", "let"]
)
_KEPT |= {
    "function",
    "var",
    "val",
    "const",
    "public",
    "private",
    "static",
    "switch",
    "case",
    "do",
    "null",
    "true",
    "false",
}


def skeleton(text: str) -> str | None:
    """A program's tokens, with each name that the program itself gives replaced by a number; None if the text does not
    look like a program of at least `FEWEST_TOKENS` tokens.

    >>> one = "def total(values):\\n    found = 0\\n    for one in values:\\n        found += one\\n    return found\\n"
    >>> skeleton(one * 2) == skeleton(one.replace("found", "x").replace("values", "v") * 2)
    True
    >>> skeleton(one * 2) == skeleton(one.replace("+=", "-=") * 2)
    False
    """
    if "(" not in text or not ("\n" in text or ";" in text or "{" in text):
        return None
    if len(_SIGNS.findall(text)) * 20 < len(text) - text.count(" "):
        return None
    tokens = _TOKEN.findall(text)
    if len(tokens) < FEWEST_TOKENS:
        return None
    bound = {name for found in _BOUND.findall(text) for name in found if name}
    for parameters in _PARAMETERS.findall(text):
        bound.update(re.findall(_NAME, " ".join(parameters)))
    bound -= _KEPT
    numbers: dict[str, str] = {}
    return " ".join(numbers.setdefault(one, f"${len(numbers)}") if one in bound else one for one in tokens)
