"""The page docs/settings.md: every setting with its type, default and meaning, made from the grammar."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from tunesmith.config.experiment import Experiment
from tunesmith.config.grammar import fields_of, is_registry, is_settings, kind_of, meaning_of, plain_types
from tunesmith.config.registry import Registry
from tunesmith.config.settings import Duration, Settings

REGISTRIES = {
    "Sources: `data.source`": Registry("tunesmith.records.sources", "tunesmith.records.demo_sources"),
    "Tasks: `task`": Registry("tunesmith.tasks"),
    "Methods: `stages.N.parts.PART`": Registry("tunesmith.methods"),
    "Engines: `evaluate.engine`": Registry("tunesmith.evaluate.engines"),
    "Trackers: `track.N`": Registry("tunesmith.train.observers"),
}
PRECISIONS = Registry("tunesmith.precision.formats")
_INTRODUCTION = """# Every setting

Made from the grammar by `python -m tunesmith.config.reference`; do not edit it by hand.

A setting without a default must be given. A duration is written with its unit: `200 steps`, `0.5 epochs`.
Where a `kind` is chosen, a bare word stands for a mapping with that kind alone: `track: [tensorboard]`.
"""
_WORDS = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Path: "path",
    Any: "anything",
}


def reference() -> str:
    """The whole page as Markdown."""
    items = {
        heading: [registry.item(kind) for kind in registry.kinds()]
        for heading, registry in REGISTRIES.items()
    }
    registered = [item for registry in items.values() for item in registry]
    sections = [_INTRODUCTION]
    for settings, place in _inside(Experiment, "", registered):
        sections.append(_section(settings, f"## `{place}`" if place else "## The experiment"))
    for heading, registry in items.items():
        sections.append(f"## {heading}\n")
        for item in registry:
            sections.append(_section(item, f"### `kind: {kind_of(item)}`"))
            for settings, place in _inside(item, "", registered):
                if place:
                    kind = f" of kind `{kind_of(settings)}`" if kind_of(settings) else ""
                    sections.append(_section(settings, f"#### `{place}`{kind}"))
    sections.append(_precisions())
    return "\n".join(sections)


def _precisions() -> str:
    """The values of `model.weights`, each with its meaning."""
    rows = []
    for kind in PRECISIONS.kinds():
        meaning = " ".join(str(inspect.getdoc(PRECISIONS.item(kind))).split())
        rows.append(f"- `{kind}`: {meaning}")
    return "\n".join(["## Precisions: `model.weights`\n", *rows, ""])


def _inside(
    settings: type[Settings], place: str, registered: list[type[Settings]]
) -> Iterator[tuple[type[Settings], str]]:
    """A class and the classes inside it that are in no registry, each with where it stands in the file."""
    yield settings, place
    for name, field in fields_of(settings).items():
        for inner, suffix in _classes_in(field.annotation):
            if inner not in registered:
                yield from _inside(inner, f"{place}.{name}{suffix}".lstrip("."), registered)


def _classes_in(annotation: Any, suffix: str = "") -> Iterator[tuple[type[Settings], str]]:
    for plain in plain_types(annotation):
        if is_settings(plain):
            yield plain, suffix
        elif get_origin(plain) is list:
            yield from _classes_in(get_args(plain)[0], suffix + ".N")


def _section(settings: type[Settings], heading: str) -> str:
    """A heading, what the class says, and a row for each setting."""
    rows = [
        f"| `{name}` | {_type_text(field.annotation)} | {_default_text(field)} | {_meaning(settings, name)} |"
        for name, field in fields_of(settings).items()
        if name != "kind" or kind_of(settings) is None
    ]
    table = ["| setting | type | default | meaning |", "|---|---|---|---|", *rows, ""] if rows else []
    return "\n".join([f"{heading}\n", f"{inspect.getdoc(settings)}\n", *table])


def _type_text(annotation: Any) -> str:
    """A type in the words of someone who writes YAML."""
    texts: list[str] = []
    for plain in plain_types(annotation):
        origin, arguments = get_origin(plain), get_args(plain)
        if is_registry(plain):
            texts.append("one of the kinds below")
        elif is_settings(plain):
            texts.append("one of the kinds below" if kind_of(plain) else "see below")
        elif origin is Literal:
            texts.append(", ".join(f"`{word}`" for word in arguments))
        elif origin is list:
            texts.append(f"list ({_type_text(arguments[0])})")
        elif origin is tuple:
            texts.append(f"{len(arguments)} of: {_type_text(arguments[0])}")
        elif origin is dict:
            texts.append(f"mapping ({_type_text(arguments[1])})")
        elif plain is Duration:
            texts.append("duration")
        else:
            texts.append("none" if plain is NoneType else _WORDS.get(plain, str(plain)))
    return " or ".join(dict.fromkeys(texts))


def _default_text(field: Any) -> str:
    if field.is_required():
        return "must be given"
    default = field.get_default(call_default_factory=True)
    if isinstance(default, Settings):
        return f"`{kind_of(type(default))}`" if kind_of(type(default)) else "as below"
    if default is None:
        return "none"
    if isinstance(default, bool):
        return str(default).lower()
    return f"`{list(default) if isinstance(default, tuple) else default}`".replace("\n", "\\n")


def _meaning(settings: type[Settings], name: str) -> str:
    return " ".join(meaning_of(settings, name).split()).replace("|", "\\|")


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else "docs/settings.md").write_text(reference(), encoding="utf-8")
