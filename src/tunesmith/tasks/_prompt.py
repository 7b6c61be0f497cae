"""Prompt templates: text with `{field}` where a record's value goes, and the turns around a question."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any

from pydantic import AfterValidator

from tunesmith.errors import DataError, did_you_mean
from tunesmith.images.picture import Picture
from tunesmith.records.chat_formats import history_of
from tunesmith.records.conversation import Conversation, Piece, Text, Turn
from tunesmith.records.fields import value_at
from tunesmith.records.record import Record
from tunesmith.records.unread import tells_picture
from tunesmith.tasks._places import between_places, order_of_places

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|[{}]")


@cache
def fields_of(template: str) -> tuple[str, ...]:
    """Names of the fields in a template, each once, in order.

    >>> fields_of("{title}: {text} {{not a field}} {title}")
    ('title', 'text')
    """
    return tuple(dict.fromkeys(match[1] for match in _PIECE.finditer(template) if match[1]))


def fill(
    template: str, record: Record, extra: Mapping[str, str] | None = None, setting: str = "prompt"
) -> str:
    """The template with the record's values, `extra` going before them; DataError names all missing fields.

    >>> fill("Is {film} good? Say {{yes}}.", Record("films.csv:2", {"film": "Alien"}))
    'Is Alien good? Say {yes}.'
    """
    pieces = _filled(template, record, (), extra or {}, setting)
    return "".join(piece.text for piece in pieces if isinstance(piece, Text))


def question(
    template: str,
    record: Record,
    pictures: Sequence[str] = (),
    extra: Mapping[str, str | Piece] | None = None,
) -> tuple[Piece, ...]:
    """The template with the record's values (`extra` going before them) as pieces of a turn. Pictures of the
    fields in `pictures` stand where the template names their field, or else at the marks `<image>` of the text, or
    else before it. DataError names all fields that are missing or hold no picture.

    >>> question("Is {film} good?", Record("films.csv:2", {"film": "Alien"}))
    (Text(text='Is Alien good?'),)
    """
    pieces = _filled(template, record, pictures, extra or {}, "prompt")
    named = fields_of(template)
    unplaced = [
        piece
        for name in pictures
        if name not in named
        for piece in _values(record, name, "task.pictures", True)
    ]
    texts = [piece.text for piece in pieces if isinstance(piece, Text)]
    try:
        order = order_of_places(texts, len(unplaced)) if unplaced else None
    except ValueError as fault:
        raise DataError(f"{record.id}: prompt: the question's text and fields {fault}") from fault
    if order is None:
        return _joined([*unplaced, *pieces])
    left = iter([unplaced[index] for index in order])
    placed: list[Piece] = []
    for piece in pieces:
        if not isinstance(piece, Text):
            placed.append(piece)
            continue
        for number, between in enumerate(between_places(piece.text)):
            placed += [*([next(left)] if number else []), Text(between)]
    return _joined(placed)


def _filled(
    template: str, record: Record, pictures: Sequence[str], extra: Mapping[str, str | Piece], setting: str
) -> tuple[Piece, ...]:
    """The template with values in place of fields; DataError names all fields that are missing, those of pictures
    that the template does not name among them."""
    values: dict[str, tuple[Piece, ...]] = {
        name: (Text(value) if isinstance(value, str) else value,) for name, value in extra.items()
    }
    faults = []
    for name in dict.fromkeys((*fields_of(template), *pictures)):
        if name not in values:
            is_picture = name in pictures
            try:
                values[name] = _values(record, name, "task.pictures" if is_picture else setting, is_picture)
            except DataError as fault:
                faults.append(str(fault))
    if faults:
        raise DataError("\n".join(faults))
    pieces: list[Piece] = []
    end = 0
    for match in _PIECE.finditer(template):
        pieces.append(Text(template[end : match.start()]))
        pieces += values[match[1]] if match[1] else (Text(match[0][0]),)
        end = match.end()
    return _joined([*pieces, Text(template[end:])])


def _values(record: Record, name: str, setting: str, is_picture: bool) -> tuple[Piece, ...]:
    if is_picture:
        return pictures_of(record, name)
    value = value_of(record, name, setting)
    if holds_messages(value):
        raise DataError(
            f"{record.id}: {setting}: field {name!r} is a list of messages, not a text. Use task kind chat, which "
            "reads messages, prompt and completion, or name a field inside it"
        )
    return (Text(text_of(value)),)


def pictures_of(record: Record, name: str) -> tuple[Picture, ...]:
    """The pictures of a field; none if it is missing or null. DataError if it holds something else, or if it is missing
    and another field with pictures has nearly its name."""
    if record.fields.get(name) is None:
        others = (
            other for other, value in record.fields.items() if value in (None, []) or tells_picture(value)
        )
        near = "" if name in record.fields else did_you_mean(name, others)
        if near:
            raise DataError(f"{record.id}: task.pictures: there is no field {name!r}.{near}")
        return ()
    value = record.fields[name]
    pictures = value if isinstance(value, list) else [value]
    if not all(isinstance(one, Picture) for one in pictures):
        raise DataError(
            f"{record.id}: task.pictures: field {name!r} is {text_of(value)[:60]!r}, which is no picture"
        )
    return tuple(pictures)


def holds_messages(value: Any) -> bool:
    """True for a message of a chat, and for a list of them."""
    several = value if isinstance(value, list) else [value]
    return bool(several) and all(
        isinstance(one, Mapping)
        and (("role" in one and "content" in one) or ("from" in one and "value" in one))
        for one in several
    )


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
    asked: tuple[Piece, ...],
    system: str | None,
    record: Record,
    shots: Sequence[Conversation],
    used: Sequence[str] = (),
) -> tuple[Turn, ...]:
    """System prompt with the record's values, solved examples (never the record itself) as earlier turns, the record's
    own `history` unless the question uses that field, and the question."""
    opening = (Turn.of("system", fill(system, record, setting="task.system")),) if system is not None else ()
    history = [] if "history" in used else history_of(record)
    before = (
        turn
        for question, answer in history
        for turn in (Turn.of("user", question), Turn.of("assistant", answer))
    )
    return (*opening, *earlier_turns(record, shots), *before, Turn("user", asked))


def earlier_turns(record: Record, shots: Sequence[Conversation]) -> tuple[Turn, ...]:
    """The turns of solved examples, without their system prompts and without the record itself."""
    return tuple(
        turn
        for shot in shots
        if shot.record != record.id
        for turn in (
            *(turn for turn in shot.turns if turn.role != "system"),
            shot.reply or Turn("assistant", (shot.boxes or Text(shot.answer),)),
        )
    )


def all_of(*reads: Callable[[], Any]) -> list[Any]:
    """What each function returns; DataError with the faults of all of them, so that none hides another.

    >>> all_of(lambda: 1, lambda: 2)
    [1, 2]
    """
    found, faults = [], []
    for read in reads:
        try:
            found.append(read())
        except DataError as fault:
            faults += [line for line in str(fault).splitlines() if line not in faults]
    if faults:
        raise DataError("\n".join(faults))
    return found


def json_fields(record: Record, names: Iterable[str]) -> tuple[str, ...]:
    """Those of the fields that hold an object or a list, which a text shows as JSON."""
    return tuple(name for name in dict.fromkeys(names) if _is_structured(_held(record, name)))


def _held(record: Record, name: str) -> Any:
    try:
        return value_at(record.fields, name)
    except ValueError:
        return None


def _is_structured(value: Any) -> bool:
    return isinstance(value, Mapping | list) and not isinstance(value, Picture)


def _whole(template: str) -> str:
    quoted = [match[0] for match in _PIECE.finditer(template) if match[1] and re.search(r'["\n]', match[1])]
    if quoted:
        raise ValueError(f"{quoted[0][:40]!r} is no {{field}}; double its braces to mean them: {{{{ and }}}}")
    stray = [match.start() for match in _PIECE.finditer(template) if match[0] in "{}"]
    if stray:
        raise ValueError(
            f"the brace at character {stray[0] + 1} is not part of a {{field}}; double it to mean a brace"
        )
    return template


Template = Annotated[str, AfterValidator(_whole)]
