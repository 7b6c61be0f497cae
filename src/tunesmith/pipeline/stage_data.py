"""The training records of a stage and the examples that are rendered from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tunesmith.config.experiment import Stage
from tunesmith.errors import DataError, counted
from tunesmith.records.conversation import Conversation
from tunesmith.records.fields import value_at
from tunesmith.records.filter import compile_filter
from tunesmith.records.record import Record
from tunesmith.tasks import Task
from tunesmith.train.balance import balanced
from tunesmith.train.examples import Rendered


class StageExamples(NamedTuple):
    """The examples of a stage with the values that decide their order."""

    rendered: Rendered
    sort_by: list[Any] | None
    """The value that each example is sorted by; None if they are shuffled."""
    group_by: list[Any] | None
    """The value whose equal ones stay next to each other; None if there is no such field."""


def select_records(
    stage: Stage, task: Task, records: Sequence[Record], shots: Sequence[Conversation], seed: int
) -> Sequence[Record]:
    """The training records that a stage's `where` and `balance` choose, without those that serve as shots. DataError if
    none is left."""
    used = {shot.record for shot in shots}
    if used:
        records = [record for record in records if record.id not in used]
    if stage.where:
        holds = compile_filter(stage.where)
        chosen = [record for record in records if holds(record)]
        if records and not chosen:
            raise DataError(
                f"stage {stage.name!r}: where {stage.where!r} holds for none of "
                f"{counted(len(records), 'training record')}; change it, or leave it out to train on all of them"
            )
        records = chosen
    if stage.balance is None:
        return records
    classes = [label for record in records for label in task.conversation(record).classes or ()]
    return [records[index] for index in balanced(classes, stage.balance, seed)]


def ordering_fields(stage: Stage) -> dict[str, str]:
    """The fields that decide the order of a stage's examples, by the setting that names them."""
    named = {"order": None if stage.order == "shuffled" else stage.order, "group_by": stage.group_by}
    return {setting: field for setting, field in named.items() if field is not None}


def with_order(stage: Stage, rendered: Rendered, records: Callable[[], Sequence[Record]]) -> StageExamples:
    """The examples with the values that decide their order. DataError if a record lacks the field.

    `records` returns the stage's records; it is called only if a field decides the order.
    """
    values: dict[str, list[Any]] = {}
    if fields := ordering_fields(stage):
        kept = {example.record for example in rendered.examples}
        chosen = [record for record in records() if record.id in kept]
        values = {
            setting: [_field_value(record, setting, field) for record in chosen]
            for setting, field in fields.items()
        }
    return StageExamples(rendered, values.get("order"), values.get("group_by"))


def _field_value(record: Record, setting: str, field: str) -> Any:
    try:
        return value_at(record.fields, field)
    except ValueError as fault:
        raise DataError(f"{record.id}: {setting}: {fault}") from fault
