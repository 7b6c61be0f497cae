"""From YAML 1.2 text to plain values that remember where each of them stood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tunesmith.errors import ExperimentError

Location = tuple[str | int, ...]
"""Keys and list indices from the top down to one value."""

_CORE = ("str", "int", "float", "bool", "null", "timestamp")


@dataclass(frozen=True)
class Document:
    """Plain values, and where each came from: `recipe.yaml:12`, or the override that set it."""

    value: Any
    origins: Mapping[Location, str] = field(default_factory=dict)

    def origin(self, location: Location) -> str:
        """Where the value stood, or else the nearest that holds it; empty if nothing is known."""
        nearest = (location[:size] for size in range(len(location), -1, -1))
        return next((self.origins[place] for place in nearest if place in self.origins), "")


def parse_yaml(text: str, where: str) -> Document:
    """The values of a YAML 1.2 text. Keys are text, and dates stay text.

    ExperimentError, with lines, for what is not YAML and for doubled keys, anchors and tags (all at once).

    >>> parse_yaml("rate: 2e-4\\nlabels: [yes, no]", "a.yaml").value
    {'rate': 0.0002, 'labels': ['yes', 'no']}
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    reader = YAML(typ="safe", pure=True)
    try:
        node = reader.compose(text)
    except RecursionError:
        raise ExperimentError(f"{where}: lists and mappings are nested too deep to be settings") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{where}:{mark.line + 1}" if mark else where
        raise ExperimentError(f"{place}: not YAML: {_plain(error)}") from None
    except YAMLError as error:
        raise ExperimentError(f"{where}: not YAML: {error}".rstrip()) from None
    if node is None:
        return Document(None)
    walk = _Walk(where, reader.constructor)
    value = walk.value(node, ())
    if walk.faults:
        raise ExperimentError("\n".join(walk.faults))
    return Document(value, walk.origins)


@dataclass
class _Walk:
    """One way through the nodes of a text, taking down origins and faults."""

    where: str
    constructor: Any
    origins: dict[Location, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def value(self, node: Any, location: Location) -> Any:
        self.origins.setdefault(location, self._line(node))
        if node.anchor:
            fault = "anchors (&) and aliases (*) are not read; write the value out, or use `variants`"
            return self._fault(node, f"{fault} (&{node.anchor})")
        if node.id == "mapping":
            return self._mapping(node, location)
        if node.id == "sequence":
            return [self.value(item, (*location, index)) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: Any, location: Location) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, item in node.value:
            name = key.value if key.id == "scalar" else None
            if name is None:
                self._fault(key, "a key must be text, not a list or a mapping")
                continue
            place = (*location, name)
            if name in values:
                self._fault(
                    key, f"key {name!r} stands twice, first at {self.origins[place]}; keep one of them"
                )
                continue
            self.origins[place] = self._line(key)
            values[name] = self.value(item, place)
        return values

    def _scalar(self, node: Any) -> Any:
        tag = str(node.tag).rpartition(":")[2]
        if tag not in _CORE:
            return self._fault(node, f"tags are not read (got {node.tag}); write the value without it")
        if tag in ("str", "timestamp"):
            return node.value
        try:
            return self.constructor.construct_object(node)
        except ValueError:
            return self._fault(node, f"{node.value!r} is no {tag}")

    def _line(self, node: Any) -> str:
        return f"{self.where}:{node.start_mark.line + 1}"

    def _fault(self, node: Any, what: str) -> None:
        fault = f"{self._line(node)}: {what}"
        if fault not in self.faults:
            self.faults.append(fault)


def _plain(error: Any) -> str:
    """What the parser found, with what most often puts it right."""
    found = ", ".join(part for part in (error.context, error.problem) if part)
    if "'\\t'" in found or "tab" in found:
        return "a tab stands where YAML wants spaces; indent with spaces"
    if "mapping values are not allowed" in found:
        return f"{found}; a text with ': ' in it needs quotes around it"
    if "expected a single document" in found:
        return "two documents (---) in one file; keep one"
    return str(found)
