"""The grammar as a tree of types: what may stand where in an experiment file."""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Literal, TypeGuard, Union, get_args, get_origin

from tunesmith.config.registry import AnyItem
from tunesmith.config.settings import Settings, docstrings


def plain_types(annotation: Any) -> list[Any]:
    """The types that an annotation stands for, with `Annotated` and unions taken apart."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return plain_types(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [plain for one in get_args(annotation) for plain in plain_types(one)]
    return [annotation]


def is_registry(plain: Any) -> TypeGuard[type[AnyItem]]:
    """True for what stands for the settings of all items of a registry."""
    return isinstance(plain, type) and issubclass(plain, AnyItem)


def is_settings(plain: Any) -> TypeGuard[type[Settings]]:
    """True for a settings class."""
    return isinstance(plain, type) and issubclass(plain, Settings)


def fields_of(settings: type[Settings]) -> dict[str, Any]:
    """The fields of a class by the name that is written in the file."""
    return {field.alias or name: field for name, field in settings.model_fields.items()}


def meaning_of(settings: type[Settings], name: str) -> str:
    """What the docstring of a field says, by the name that is written in the file; empty if it has none."""
    own_name = next((own for own, field in settings.model_fields.items() if field.alias == name), name)
    return docstrings(settings).get(own_name, "")


def kind_of(settings: type[Settings]) -> str | None:
    """The one word that stands after `kind:` for this class; None for a class that is in no registry."""
    field = settings.model_fields.get("kind")
    words = get_args(field.annotation) if field and get_origin(field.annotation) is Literal else ()
    return words[0] if len(words) == 1 else None


def kinds_among(types: list[Any]) -> list[str]:
    """The words that may stand after `kind:` for a value of one of `types`."""
    kinds: list[str] = []
    for one in types:
        if is_registry(one):
            kinds += one.registry.kinds()
        elif is_settings(one) and (kind := kind_of(one)):
            kinds.append(kind)
    return kinds


def types_inside(types: list[Any], key: str | int, value: Any) -> list[Any]:
    """The types that may stand under a key of `value`, which is of one of `types`."""
    found: list[Any] = []
    for one in settings_among(types, value):
        field = fields_of(one).get(str(key))
        found += plain_types(field.annotation) if field else []
    for one in types:
        if get_args(one) and get_origin(one) is not Literal:
            found += plain_types(get_args(one)[-1])
    return found


def settings_among(types: list[Any], value: Any) -> list[type[Settings]]:
    """The settings classes of `types` that `value` may be meant for: all, unless its `kind` tells."""
    told = value.get("kind") if isinstance(value, Mapping) else None
    found: list[type[Settings]] = []
    for one in types:
        if is_registry(one):
            found += [one.registry.item(kind) for kind in one.registry.kinds() if told in (None, kind)]
        elif is_settings(one) and (told is None or kind_of(one) in (None, told)):
            found.append(one)
    return found
