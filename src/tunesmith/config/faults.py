"""What is wrong with an experiment: where, what was got, what is possible, what was probably meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tunesmith.config.document import Document, Location
from tunesmith.config.grammar import (
    fields_of,
    kinds_among,
    meaning_of,
    plain_types,
    settings_among,
    types_inside,
)
from tunesmith.config.renamed import new_name
from tunesmith.config.settings import ImpossibleError, Settings
from tunesmith.errors import ExperimentError, did_you_mean

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_LONGEST_VALUE = 60
_MISSING = "is missing"
_POSSIBLE = "; possible: "
_WHOLE = {
    "model_type": "a mapping of settings",
    "model_attributes_type": "a mapping of settings",
    "dict_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "string_type": "text (put it in quotes)",
    "path_type": "a path",
}


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong."""

    path: str
    """Dotted path of the setting; empty for the experiment as a whole."""
    what: str
    """What was got and what is possible."""
    origin: str = ""
    """`file:line`, the override that set it, or nothing."""
    wrong_type: bool = False
    """True if the value as a whole is of another type than it must be."""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.origin, self.path, self.what) if part)

    def follows(self, other: Fault) -> bool:
        """True if it stands at the same place or further in, so that mending the other may mend this too."""
        inside = f"{self.path}.".startswith(f"{other.path}.")
        return inside and (self.is_missing or not other.is_missing)

    def is_twin(self, other: Fault) -> bool:
        """True if both say of the same value that it is of the wrong type."""
        return self.path == other.path and self.wrong_type and other.wrong_type

    def offers_words_beside(self, other: Fault) -> bool:
        """True if this one names the words that may stand where the other asks for a number."""
        is_choice, is_number = _POSSIBLE in self.what, "; must be " in other.what
        return self.path == other.path and self.origin == other.origin and is_choice and is_number

    @property
    def is_missing(self) -> bool:
        """True for a setting that is not given but must be."""
        return self.what.startswith(_MISSING)


def raise_faults(faults: Sequence[Fault], where: str) -> None:
    """ExperimentError with every fault on a line of its own; nothing happens if there is none."""
    lines = list(dict.fromkeys(map(str, faults)))
    if len(lines) == 1:
        raise ExperimentError(lines[0])
    if lines:
        raise ExperimentError("\n  ".join([f"{where} has {len(lines)} faults:", *lines]))


def faults_of(error: ValidationError, document: Document, grammar: type[Settings]) -> list[Fault]:
    """Every fault that pydantic found in the document, in the order in which they stand there."""
    faults = _one_of_each_union(
        [
            fault
            for details in error.errors(include_url=False)
            for fault in _translated(details, document, grammar)
        ]
    )
    return sorted(faults, key=lambda fault: _line(fault.origin))


def _one_of_each_union(faults: list[Fault]) -> list[Fault]:
    """Without the complaints of union members that the value was never meant for.

    Where a list or a mapping may stand, pydantic says of a wrong list also that it is no mapping.
    """
    best = [
        fault
        for fault in faults
        if not (
            fault.wrong_type and any(other.follows(fault) and not other.is_twin(fault) for other in faults)
        )
    ]
    merged: list[Fault] = []
    for fault in best:
        if merged and fault.is_twin(merged[-1]):
            fault = replace(fault, what=f"{merged.pop().what} or {fault.what.rpartition('must be ')[2]}")
        elif merged and fault.offers_words_beside(merged[-1]):
            fault = replace(fault, what=f"{merged.pop().what}, or {fault.what.partition(_POSSIBLE)[2]}")
        merged.append(fault)
    return merged


def _line(origin: str) -> int:
    number = origin.rpartition(":")[2]
    return int(number) if number.isdecimal() else 0


def _translated(details: ErrorDetails, document: Document, grammar: type[Settings]) -> Iterable[Fault]:
    location = _location(details, document.value)
    cause = details.get("ctx", {}).get("error")
    if isinstance(cause, ImpossibleError):
        for path, what in cause.faults:
            inner = tuple(int(key) if key.isdecimal() else key for key in path.split("."))
            yield _fault((*location, *inner), what, document)
        return
    what = _what(details, location, document.value, grammar)
    yield _fault(location, what, document, _is_of_wrong_type(details))


def _is_of_wrong_type(details: ErrorDetails) -> bool:
    """True if another kind of value is wanted as a whole: also for a mapping where one of a few words may stand."""
    is_nested = isinstance(details["input"], Mapping | list)
    return details["type"] in _WHOLE or (details["type"] == "literal_error" and is_nested)


def _fault(location: Location, what: str, document: Document, wrong_type: bool = False) -> Fault:
    return Fault(".".join(map(str, location)), what, document.origin(location), wrong_type)


def _location(details: ErrorDetails, tree: Any) -> Location:
    """Pydantic's place of an error without the names of union members that it puts in between."""
    found: list[str | int] = []
    value = tree
    untold = True
    for key in details["loc"]:
        if isinstance(value, Mapping) and value.get("kind") == key and untold:
            untold = False
        elif _holds(value, key):
            value, untold = value[key], True
            found.append(key)
    if details["loc"][-1:] == ("[key]",):
        found.pop()
    elif details["type"] == "missing":
        found.append(details["loc"][-1])
    elif details["type"].startswith("union_tag_invalid") and isinstance(value, Mapping):
        found.append("kind")
    return tuple(found)


def _holds(value: Any, key: str | int) -> bool:
    return key in (
        range(len(value)) if isinstance(value, list) else value if isinstance(value, Mapping) else ()
    )


def _what(details: ErrorDetails, location: Location, tree: Any, grammar: type[Settings]) -> str:
    """What was got at this place, and what is possible there."""
    kind, got = details["type"], details["input"]
    context = details.get("ctx", {})
    match kind:
        case "extra_forbidden":
            return _unknown_key(str(location[-1]), location, tree, grammar)
        case "missing":
            return f"{_MISSING}{_meaning(location, tree, grammar)}"
        case "literal_error":
            return _choice(got, _quoted(str(context["expected"])))
        case "union_tag_invalid":
            _, types = _types_at(location, tree, grammar)
            number = ["a number"] if float in types else []
            return _choice(context["tag"], _quoted(str(context["expected_tags"])) + number)
        case "union_tag_not_found":
            _, types = _types_at(location, tree, grammar)
            return f"got {_shown(got)}, which has no kind{_POSSIBLE}{', '.join(kinds_among(types))}"
        case "value_error":
            return (
                f"got {_shown(got)}; {context['error']}"
                if not isinstance(got, Mapping)
                else f"{context['error']}"
            )
        case "string_pattern_mismatch":
            return f"got {_shown(got)}, which is not allowed{_meaning(location, tree, grammar)}"
        case _ if kind in _WHOLE:
            _, types = _types_at(location, tree, grammar)
            kinds = kinds_among(types)
            must = f"got {_shown(got)}; must be {_WHOLE[kind]}" + (f" ({', '.join(kinds)})" if kinds else "")
            return must + (_meaning(location, tree, grammar) if kind == "tuple_type" else "")
    must = re.sub(r"^(Input|Value|String|List|Dictionary|Tuple) should ", "must ", details["msg"])
    must = re.sub(r", unable to parse.*| after validation, not \d+", "", must)
    return f"got {_shown(got)}; {must}"


def _unknown_key(key: str, location: Location, tree: Any, grammar: type[Settings]) -> str:
    """The new name of a renamed setting; or the possible settings, with the most similar one or a nested one."""
    if (renamed := new_name(".".join(map(str, location)))) is not None:
        return f"is called {renamed!r} now; write {renamed} instead"
    holder, types = _types_at(location[:-1], tree, grammar)
    known = {name: field for one in settings_among(types, holder) for name, field in fields_of(one).items()}
    of = f" of kind {holder['kind']!r}" if isinstance(holder, Mapping) and "kind" in holder else ""
    hint = did_you_mean(key, known) or _further_in(key, holder, known)
    return f"no such setting{of}; possible: {', '.join(known)}.{hint}"


def _further_in(key: str, holder: Any, known: Mapping[str, Any]) -> str:
    """A hint at the first of the known settings that has a setting of that name inside, if there is one."""
    for name, field in known.items():
        inside = settings_among(plain_types(field.annotation), _inside(holder, name))
        if any(key in fields_of(one) for one in inside):
            return f" Did you mean '{name}.{key}'?"
    return ""


def _types_at(location: Location, tree: Any, grammar: type[Settings]) -> tuple[Any, list[Any]]:
    """The value at a place, and the types that may stand there."""
    types: list[Any] = [grammar]
    value = tree
    for key in location:
        types = types_inside(types, key, value)
        value = _inside(value, key)
    return value, types


def _inside(value: Any, key: str | int) -> Any:
    if isinstance(value, list):
        return value[int(key)]
    return value.get(key) if isinstance(value, Mapping) else None


def _meaning(location: Location, tree: Any, grammar: type[Settings]) -> str:
    """The kinds that are possible at a place and what its docstring says, as the end of a sentence."""
    holder, outer = _types_at(location[:-1], tree, grammar)
    kinds = kinds_among(types_inside(outer, location[-1], holder))
    texts = [text for one in settings_among(outer, holder) if (text := meaning_of(one, str(location[-1])))]
    return (f"; possible kinds: {', '.join(kinds)}" if kinds else "") + (f". {texts[0]}" if texts else "")


def _choice(got: Any, possible: list[str]) -> str:
    return f"got {_shown(got)}{_POSSIBLE}{', '.join(possible)}.{did_you_mean(str(got), possible)}"


def _quoted(text: str) -> list[str]:
    return re.findall(r"'([^']*)'", text) or [text]


def _shown(value: Any) -> str:
    """A value as it may stand in one line."""
    if isinstance(value, Mapping):
        return f"a mapping ({', '.join(map(str, value))})" if value else "an empty mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "..."
