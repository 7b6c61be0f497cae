"""Prompt templates: text with `{field}` where a record's value goes, and the turns around a question."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any

from pydantic import AfterValidator

from tunesmith.data.conversation import Conversation, Piece, Text, Turn
from tunesmith.data.fields import value_at
from tunesmith.data.picture import Picture
from tunesmith.data.record import Record
from tunesmith.errors import DataError

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
    return "".join(piece.text for piece in question(template, record, (), extra) if isinstance(piece, Text))


def question(
    template: str,
    record: Record,
    pictures: Sequence[str] = (),
    extra: Mapping[str, str | Piece] | None = None,
) -> tuple[Piece, ...]:
    """The template with the record's values (`extra` going before them) as pieces of a turn. Pictures of the
    fields in `pictures` stand where the template names their field, or else before the text. DataError names
    all fields that are missing or hold no picture.

    >>> question("Is {film} good?", Record("films.csv:2", {"film": "Alien"}))
    (Text(text='Is Alien good?'),)
    """
    named = fields_of(template)
    values: dict[str, tuple[Piece, ...]] = {
        name: (Text(value) if isinstance(value, str) else value,) for name, value in (extra or {}).items()
    }
    faults = []
    for name in dict.fromkeys((*named, *pictures)):
        if name not in values:
            try:
                values[name] = _pieces(record, name, name in pictures)
            except DataError as fault:
                faults.append(str(fault))
    if faults:
        raise DataError("\n".join(faults))
    pieces = [piece for name in pictures if name not in named for piece in values[name]]
    end = 0
    for match in _PIECE.finditer(template):
        pieces.append(Text(template[end : match.start()]))
        pieces += values[match[1]] if match[1] else (Text(match[0][0]),)
        end = match.end()
    return _joined([*pieces, Text(template[end:])])


def _pieces(record: Record, name: str, is_picture: bool) -> tuple[Piece, ...]:
    value = value_of(record, name, "task.pictures" if is_picture else "prompt")
    if not is_picture:
        return (Text(text_of(value)),)
    pictures = value if isinstance(value, list) else [value]
    if not all(isinstance(one, Picture) for one in pictures):
        raise DataError(
            f"{record.id}: task.pictures: field {name!r} is {text_of(value)[:60]!r}, which is no picture"
        )
    return tuple(pictures)


def _joined(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """The pieces with neighbouring texts made one, and empty ones left out."""
    joined: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, Text) and joined and isinstance(joined[-1], Text):
            joined[-1] = Text(joined[-1].text + piece.text)
        elif piece != Text(""):
            joined.append(piece)
    return tuple(joined)


def value_of(record: Record, name: str, asked_by: str) -> Any:
    """The record's value of a field, or further inside at a dotted path; DataError if there is none, or null in it.

    `asked_by` names the setting that asks for it.
    """
    try:
        value = value_at(record.fields, name)
    except ValueError as fault:
        raise DataError(f"{record.id}: {asked_by}: {fault}") from fault
    if value is None:
        raise DataError(f"{record.id}: {asked_by}: field {name!r} is null; it must have a value")
    return value


def text_of(value: Any) -> str:
    """A JSON-like value as a prompt shows it: text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def turns(
    asked: tuple[Piece, ...], system: str | None, record: Record, shots: Sequence[Conversation]
) -> tuple[Turn, ...]:
    """System prompt, solved examples (never the record itself) as earlier turns, and the question."""
    opening = (Turn.of("system", system),) if system is not None else ()
    return (*opening, *earlier_turns(record, shots), Turn("user", asked))


def earlier_turns(record: Record, shots: Sequence[Conversation]) -> tuple[Turn, ...]:
    """The turns of solved examples, without their system prompts and without the record itself."""
    return tuple(
        turn
        for shot in shots
        if shot.record != record.id
        for turn in (
            *(turn for turn in shot.turns if turn.role != "system"),
            Turn("assistant", (shot.boxes or Text(shot.answer),)),
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
