"""Changes to an experiment by dotted keys, the same on the command line and in `variants`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tunesmith.config.document import Document, Location, parse_yaml
from tunesmith.errors import ExperimentError, did_you_mean


@dataclass(frozen=True)
class Override:
    """One change: the value that a dotted key gets, and who asks for it."""

    key: str
    value: Any
    origin: str


def parse_override(text: str) -> Override:
    """The change that `key=value` asks for, its value read as YAML; ExperimentError if it is no such text.

    >>> parse_override("stages.0.optimizer.learning_rate=1e-4").value
    0.0001
    """
    key, equals, value = text.partition("=")
    origin = f"override {text!r}"
    if not equals or not key.strip() or not all(key.strip().split(".")):
        raise ExperimentError(f"{origin}: must be a dotted key and its value, such as model.weights=nf4")
    try:
        return Override(key.strip(), parse_yaml(value, "value").value, origin)
    except ExperimentError as error:
        raise ExperimentError(f"{origin}: {error}. Put a text with special characters in quotes.") from None


def apply_override(document: Document, override: Override) -> Document:
    """The document with a value in another's place, whole; ExperimentError if there is no place for it.

    A setting that the document does not give can be set all the same: its parents are made.

    >>> changed = apply_override(Document({"a": [{"b": 1}]}), Override("a.0.b", 2, "test"))
    >>> changed.value
    {'a': [{'b': 2}]}
    """
    location = _locate(document.value, override.key)
    kept = {place: origin for place, origin in document.origins.items() if place[: len(location)] != location}
    parents = (location[:size] for size in range(1, len(location)))
    made = {place: override.origin for place in parents if _at(document.value, place) is None}
    value = _replaced(document.value, location, override.value)
    return Document(value, {**kept, **made, location: override.origin})


def _locate(tree: Any, dotted: str) -> Location:
    """A dotted key as keys and list indices of this tree."""
    location: Location = ()
    value = tree
    for key in dotted.split("."):
        here = ".".join(map(str, location)) or "the file"
        if isinstance(value, list):
            location = (*location, _index(key, value, here))
        elif value is None or isinstance(value, dict):
            location = (*location, key)
        else:
            raise ExperimentError(
                f"{here} is {value!r}, which holds no {key!r};"
                f" set {here} as a whole, such as {here}={{kind: {value}, {key}: ...}}"
            )
        value = _child(value, location[-1])
    return location


def _index(key: str, items: list[Any], here: str) -> int:
    if key.isdecimal() and int(key) < len(items):
        return int(key)
    entries = {str(item["name"]): index for index, item in enumerate(items) if _is_named(item)}
    there = ", ".join(
        f"{index} ({item['name']})" if _is_named(item) else str(index) for index, item in enumerate(items)
    )
    hint = f" Did you mean '{entries[key]}'?" if key in entries else did_you_mean(key, entries)
    raise ExperimentError(f"{here} is a list and has no {key!r} (possible: {there or 'none'}).{hint}")


def _is_named(item: Any) -> bool:
    return isinstance(item, dict) and "name" in item


def _child(value: Any, key: str | int) -> Any:
    if isinstance(value, list):
        return value[int(key)]
    return value.get(key) if isinstance(value, dict) else None


def _at(tree: Any, location: Location) -> Any:
    for key in location:
        tree = _child(tree, key)
    return tree


def _replaced(tree: Any, location: Location, value: Any) -> Any:
    """A copy of the tree with the value at that place; nothing else is copied deeper than needed."""
    if not location:
        return value
    key, rest = location[0], location[1:]
    new = _replaced(_child(tree, key), rest, value)
    if isinstance(tree, list):
        return [new if index == key else item for index, item in enumerate(tree)]
    return {**(tree or {}), key: new}
