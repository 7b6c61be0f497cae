"""Records in, scores out: every record is asked, answered, read and marked; an interruption costs nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from tunesmith.errors import DataError
from tunesmith.evaluate.engines import Engine
from tunesmith.evaluate.groups import check_fields, fields_of
from tunesmith.evaluate.progress import counting
from tunesmith.evaluate.resumable_rows import answered_in
from tunesmith.evaluate.rows import Row, write_rows
from tunesmith.evaluate.scores import SCORES, Scores, score
from tunesmith.evaluate.units import units_of
from tunesmith.files import write_sums
from tunesmith.records.conversation import Conversation
from tunesmith.records.record import Record
from tunesmith.tasks import Answer, Task, Unread

if TYPE_CHECKING:
    from tunesmith.config.experiment import Evaluate
    from tunesmith.model.loaded import LoadedModel


def evaluate(
    loaded: LoadedModel,
    task: Task,
    engine: Engine,
    records: Sequence[Record],
    settings: Evaluate,
    folder: Path | None = None,
    name: str = "base",
    shots: Sequence[Conversation] = (),
    seed: int = 17,
) -> Scores:
    """Scores of a model on these records.

    With a folder, `rows.jsonl` and `scores.json` are written there, and an interrupted evaluation goes on
    after the answers it has (the folder must be one model's own). `shots` are solved examples for every
    prompt; `seed` draws what intervals and tests draw. Raises DataError if there are no records, some cannot be
    asked, or lack a field of `settings.by` or `settings.unit`.
    """
    if not records:
        raise DataError(f"{name}: there are no records to evaluate on; hold some out (data.split)")
    check_fields(records, settings.by)
    settings = settings.model_copy(update={"engine": engine})
    conversations = conversations_of(task, records, shots)
    engine = engine.fitted(loaded, task, conversations)
    units = units_of(records, conversations, task.fields_asked(), settings.unit)
    asked = [task.model_dump(mode="json"), engine.model_dump(mode="json"), settings.by]
    with answered_in(folder, asked, conversations) as answered:
        left = [index for index in range(len(records)) if index not in answered.rows]
        answers = engine.answers(loaded, task, [conversations[index] for index in left])
        # A terminal that shows the bar of training has no room for a second one.
        console = Console(stderr=True, force_terminal=None if folder is not None else False)
        with counting(f"answers ({name})", len(records), len(answered.rows), console) as advance:
            for place, answer in answers:
                index = left[place]
                row = row_of(task, records[index], conversations[index], answer, settings.by)
                answered.add(index, row)
                advance()
        rows = [
            replace(answered.rows[index], unit=unit, unit_kind=units.kind)
            for index, unit in enumerate(units.names)
        ]
        scores = score(rows, task, settings, seed, name, answered.seconds)
        if folder is not None:
            write_rows(folder / "rows.jsonl", rows)
            SCORES.write(folder, scores)
            write_sums(folder, "rows.jsonl", "scores.json")
    return scores


def conversations_of(
    task: Task, records: Sequence[Record], shots: Sequence[Conversation] = ()
) -> list[Conversation]:
    """The question of each record; DataError names all (the first 20 and a count) that cannot be asked."""
    conversations, faults = [], []
    for record in records:
        try:
            conversations.append(task.conversation(record, shots))
        except DataError as fault:
            faults.append(str(fault))
    if faults:
        more = f"\nand {len(faults) - 20} more" if len(faults) > 20 else ""
        raise DataError("\n".join(faults[:20]) + more)
    return conversations


def row_of(
    task: Task,
    record: Record,
    conversation: Conversation,
    answer: Answer,
    by: Sequence[str] = (),
    reading: Any | Unread | None = None,
) -> Row:
    """One answered record: its answer read and marked. `by` names fields that results are broken down by; `reading` is
    the value of an answer that is not to be read in its text."""
    reading = task.read(answer) if reading is None else reading
    unread = reading.why if isinstance(reading, Unread) else None
    labels = task.labels_in_order
    marks = task.mark(conversation, answer, reading)
    boxes = conversation.boxes
    pictures = (boxes.picture,) if boxes else conversation.turns[-1].pictures or conversation.pictures
    return Row(
        record=record.id,
        sha256=record.sha256,
        asked=conversation.turns[-1].text,
        reference=conversation.answer,
        answer=answer.text,
        ended=answer.ended,
        reading=None if unread is not None else reading,
        unread=unread,
        label=conversation.label,
        predicted=None if conversation.label is None or labels is None or unread else labels.index(reading),
        marks={
            name: mark if mark is not None and math.isfinite(mark) else None for name, mark in marks.items()
        },
        scores=None if labels is None else answer.probabilities,
        fields={**task.kinds(conversation), **fields_of(record, by)},
        pictures=tuple(str(picture.file.resolve()) for picture in pictures),
        boxes=tuple(box.to_json() for box in boxes.boxes) if boxes else (),
    )
