"""Prompt templates: text with `{field}` where a record's value goes, and the turns around a question."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any

from pydantic import AfterValidator

from tunesmith.data.conversation import Conversation, Turn
from tunesmith.data.record import Record
from tunesmith.errors import DataError, did_you_mean

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|[{}]")


@cache
def fields_of(template: str) -> tuple[str, ...]:
    """Names of the fields in a template, each once, in order.

    >>> fields_of("{title}: {text} {{not a field}} {title}")
    ('title', 'text')
    """
    return tuple(dict.fromkeys(match[1] for match in _PIECE.finditer(template) if match[1]))


def fill(template: str, record: Record, extra: Mapping[str, str] | None = None) -> str:
    """The template with the record's values, `extra` going before them; DataError names all missing fields.

    >>> fill("Is {film} good? Say {{yes}}.", Record("films.csv:2", {"film": "Alien"}))
    'Is Alien good? Say {yes}.'
    """
    values = dict(extra or {})
    faults = []
    for name in fields_of(template):
        if name not in values:
            try:
                values[name] = text_of(value_of(record, name, "prompt"))
            except DataError as fault:
                faults.append(str(fault))
    if faults:
        raise DataError("\n".join(faults))
    return _PIECE.sub(lambda match: values[match[1]] if match[1] else match[0][0], template)


def value_of(record: Record, name: str, asked_by: str) -> Any:
    """The record's value of a field; DataError if there is no such field, or null in it.

    `asked_by` names the setting that asks for it.
    """
    if name not in record.fields:
        raise DataError(
            f"{record.id}: {asked_by}: there is no field {name!r} ({', '.join(record.fields) or 'none'})."
            + did_you_mean(name, record.fields)
        )
    if record.fields[name] is None:
        raise DataError(f"{record.id}: {asked_by}: field {name!r} is null; it must have a value")
    return record.fields[name]


def text_of(value: Any) -> str:
    """A JSON-like value as a prompt shows it: text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def turns(
    question: str, system: str | None, record: Record, shots: Sequence[Conversation]
) -> tuple[Turn, ...]:
    """System prompt, solved examples (never the record itself) as earlier turns, and the question."""
    opening = (Turn.of("system", system),) if system is not None else ()
    return (*opening, *earlier_turns(record, shots), Turn.of("user", question))


def earlier_turns(record: Record, shots: Sequence[Conversation]) -> tuple[Turn, ...]:
    """The turns of solved examples, without their system prompts and without the record itself."""
    return tuple(
        turn
        for shot in shots
        if shot.record != record.id
        for turn in (
            *(turn for turn in shot.turns if turn.role != "system"),
            Turn.of("assistant", shot.answer),
        )
    )


def _whole(template: str) -> str:
    stray = [match.start() for match in _PIECE.finditer(template) if match[0] in "{}"]
    if stray:
        raise ValueError(
            f"the brace at character {stray[0] + 1} is not part of a {{field}}; double it to mean a brace"
        )
    return template


Template = Annotated[str, AfterValidator(_whole)]
