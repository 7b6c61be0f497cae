"""JSON as data files have it: NaN means that there is no value."""

from __future__ import annotations

import json
from typing import Any

_CONSTANTS = {"NaN": None, "Infinity": float("inf"), "-Infinity": float("-inf")}
DECODER = json.JSONDecoder(parse_constant=_CONSTANTS.__getitem__)


def parse(text: str) -> Any:
    """The value that a JSON text states, NaN as None; raises what `json.loads` raises."""
    return DECODER.decode(text)


def why_not(error: Exception) -> str:
    """What was wrong with a JSON text, in words for the user."""
    if isinstance(error, RecursionError):
        return "objects and lists are nested too deep"
    return str(error)


def describe(value: Any) -> str:
    """What a JSON value is, in words.

    >>> describe([1]), describe(None)
    ('a list', 'null')
    """
    if value is None:
        return "null"
    names = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "an object",
    }
    return names[type(value)]
