"""Records of an experiment: prepared with the checks of its task and model, and the solved examples among them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from tunesmith.config.experiment import Experiment
from tunesmith.errors import DataError
from tunesmith.model.families import Family
from tunesmith.pipeline.folder import at_work, key_of
from tunesmith.pipeline.keys import task_key
from tunesmith.records.conversation import Conversation
from tunesmith.records.filter import compile_filter
from tunesmith.records.record import Record
from tunesmith.records.sampling import fixed_sample
from tunesmith.records.sources import Source
from tunesmith.records.unread import RowNotes
from tunesmith.split.prepare import Prepared, prepare, prepared_key
from tunesmith.split.reading import Use, sources_of
from tunesmith.tasks import Task


def data_key(experiment: Experiment, where: Path, family: Family | None) -> str:
    """A key that changes when the prepared records would."""
    task = experiment.task
    checks = _checks_key(experiment, family)
    return prepared_key(experiment.data, task.fields_asked(), where, checks, task.picture_fields())


def prepare_data(
    experiment: Experiment,
    where: Path,
    folder: Path,
    lock: Path,
    family: Family | None,
    say: Callable[[str], None],
) -> Prepared:
    """The prepared records in a folder, verified; they are prepared first if needed.

    `lock` is held meanwhile. `family` checks what the model cannot read, if it is known. DataError as `prepare`.
    """
    data, task = experiment.data, experiment.task
    say(f"prepare: records and split in {folder}")
    decided = task

    def decide() -> str | None:
        nonlocal decided
        decision: str | None = task.decide(
            _usable_records(source, where, data.where) for _, source in sources_of(data)
        )
        decided = task.decided(decision)
        return decision

    used_elsewhere = _fields_used_elsewhere(experiment)
    with at_work(lock, wait=True):
        check = Use(
            lambda record: _checked(decided, record, experiment, family, used_elsewhere),
            task.laid_out,
            task.survey(),
        )
        prepared = prepare(
            data,
            task.fields_asked(),
            where,
            folder,
            check,
            checked=_checks_key(experiment, family),
            pictures=task.picture_fields(),
            decide=decide,
        )
    prepared.verify()
    for note in _notes(experiment, prepared):
        say(f"prepare: {note}")
    return prepared


def select_shots(task: Task, prepared: Prepared, seed: int) -> tuple[Conversation, ...]:
    """The solved examples that stand before every question: a fixed sample of the training side."""
    if not task.num_shots:
        return ()
    records = fixed_sample(prepared.records("train"), task.num_shots, seed)
    return tuple(task.conversation(record) for record in records)


def _notes(experiment: Experiment, prepared: Prepared) -> Iterator[str]:
    """What a user should know about the prepared records, in sentences."""
    yield from prepared.certificate.notes
    lists, contradictions = experiment.task.fields_joined(), prepared.certificate.contradictions
    has_contradictions = contradictions is not None and contradictions.questions > 0
    if lists and experiment.data.join is None and has_contradictions:
        by = ", ".join(experiment.task.fields_asked())
        yield (
            f"If these rows are boxes of one picture, set data.join: {{by: [{by}], lists: [{', '.join(lists)}]}}, "
            "which makes one record of them"
        )


def _checked(
    task: Task, record: Record, experiment: Experiment, family: Family | None, used_elsewhere: set[str]
) -> RowNotes:
    """What to count of a record. DataError if task or model cannot use it."""
    checked = task.check(record, experiment.data.ignore)
    if family is not None:
        family.check(checked.conversation)
    unread = tuple(name for name in checked.notes.unread if name not in used_elsewhere)
    asked = checked.conversation
    return replace(checked.notes, unread=unread, answer="\n".join(sorted({asked.answer, *asked.accepted})))


def _fields_used_elsewhere(experiment: Experiment) -> set[str]:
    """Names of fields that are used outside the task: to split, filter, order or group records."""
    split = experiment.data.split
    used = {*experiment.evaluate.by, *(split.by or ()), split.group, split.stratify}
    used |= set(re.findall(r"\w+", experiment.data.where or ""))
    for stage in experiment.stages:
        used |= {stage.order, stage.group_by, *re.findall(r"\w+", stage.where or "")}
    return {name.split(".")[0] for name in used if name}


def _checks_key(experiment: Experiment, family: Family | None) -> str:
    """A key that changes when the check of records would."""
    controls = [] if family is None else [family.config.model_type, family.thinking, *family.control_tokens]
    # With one size for all images, no shape of an image is refused.
    any_shape = [] if experiment.model.pixels.size is None else ["any shape"]
    return key_of(task_key(experiment), [*controls, *any_shape])


def _usable_records(source: Source, base: Path, condition: str | None) -> Iterator[Record]:
    """The records of a source for which the condition holds, without bad rows, which preparation names."""
    holds = compile_filter(condition) if condition else lambda record: True
    for row in source.rows(base):
        with suppress(DataError):
            if isinstance(row, Record) and holds(row):
                yield row
