"""Predictions that another model or program made: read from a file, matched to records, and read and marked by the
task like the answers of an engine."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tunesmith.config.experiment import Evaluate
from tunesmith.errors import DataError, counted, did_you_mean
from tunesmith.evaluate.defaults import possible_metrics
from tunesmith.evaluate.evaluate import row_of
from tunesmith.evaluate.rows import Row
from tunesmith.evaluate.units import units_of
from tunesmith.images.boxes import Box
from tunesmith.records.conversation import Conversation
from tunesmith.records.record import Record
from tunesmith.tasks import Answer, Task, Unread

_NUM_NAMED = 5
_KEYS = ("answer", "reading", "unread", "ended", "probabilities")


@dataclass(frozen=True)
class ExternalPrediction:
    """What a model or program said of one record."""

    answer: str | None = None
    """Its words, read as the task reads answers; None if it stated a value instead."""
    reading: Any = None
    """The value that it stated: a label (or a list of labels), a text, or boxes as `{"label", "pixels"}` with left,
    top, right, bottom in pixels of the original picture."""
    unread: str | None = None
    """Why there is no reading, if its program said so."""
    ended: bool = True
    """False if the answer was cut at its longest allowed length."""
    probabilities: Mapping[str, float] | None = None
    """Probability of each class by its label."""

    @staticmethod
    def of(value: Any) -> ExternalPrediction:
        """The prediction that a text or a mapping states; ValueError says why it states none.

        >>> ExternalPrediction.of("Sports").answer
        'Sports'
        """
        if isinstance(value, str):
            return ExternalPrediction(answer=value)
        if not isinstance(value, Mapping):
            raise ValueError(f"is {value!r:.60}; it must be a text, or a mapping with 'answer'")
        given = {name: value[name] for name in _KEYS if value.get(name) is not None}
        for name, kind, what in (
            ("answer", str, "a text"),
            ("unread", str, "a text"),
            ("ended", bool, "true or false"),
            ("probabilities", Mapping, "a mapping from each label to its probability"),
        ):
            if name in given and not isinstance(given[name], kind):
                raise ValueError(f"{name!r} is {given[name]!r:.60}; it must be {what}")
        if not {"answer", "reading", "unread", "probabilities"} & given.keys():
            raise ValueError(
                f"has no 'answer' (it has {', '.join(map(str, value)) or 'nothing'}); give the model's words as "
                "'answer', or the value that it states as 'reading'"
            )
        return ExternalPrediction(**given)


def read_predictions(path: Path) -> dict[str, ExternalPrediction]:
    """The predictions of a file by record id.

    The file has JSON lines as `tunesmith predict` writes them: objects with `id`, `answer` (or `reading`) and
    optionally `probabilities`. DataError names each line that is not one, and each id that occurs twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise DataError(f"--predictions {path}: cannot be read ({why})") from error
    predictions: dict[str, ExternalPrediction] = {}
    lines: dict[str, int] = {}
    faults: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            id, prediction = _prediction_of_line(line)
            if id in lines:
                raise ValueError(f"id {id!r} is also in line {lines[id]}; keep one of the two")
            lines[id], predictions[id] = number, prediction
        except ValueError as fault:
            faults.append(f"{path}:{number}: {fault}")
    raise_first(faults)
    return predictions


def _prediction_of_line(line: str) -> tuple[str, ExternalPrediction]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError('is not JSON; a line must be like {"id": "a.jsonl:7", "answer": "Sports"}') from None
    if not isinstance(values, Mapping) or not isinstance(values.get("id"), str | int):
        raise ValueError("has no 'id'; it must be the id of the record that was answered")
    return str(values["id"]), ExternalPrediction.of(values)


def matched(
    records: Sequence[Record], predictions: Mapping[str, ExternalPrediction], name: str
) -> list[ExternalPrediction]:
    """The prediction of each record, in order. DataError names records without one, and ids that are no record's."""
    wanted = {record.id for record in records}
    missing = [record.id for record in records if record.id not in predictions]
    unknown = [id for id in predictions if id not in wanted]
    faults = []
    if missing:
        faults.append(
            f"{name}: {counted(len(missing), 'record has', 'records have')} no prediction, of {len(wanted):,}: "
            f'{_named(missing)}. Add them; a model that gave no answer has the answer ""'
        )
    if unknown:
        near = did_you_mean(unknown[0], missing) if missing else ""
        faults.append(
            f"{name}: {counted(len(unknown), 'prediction is', 'predictions are')} of no record that is scored: "
            f"{_named(unknown)}. Remove them, or give the ids that the records have{near and '.' + near}"
        )
    if faults:
        raise DataError("\n".join(faults))
    return [predictions[record.id] for record in records]


def rows_of_predictions(
    task: Task,
    records: Sequence[Record],
    conversations: Sequence[Conversation],
    predictions: Sequence[ExternalPrediction],
    name: str,
    settings: Evaluate,
) -> list[Row]:
    """The predictions read and marked, a row for each record with its unit (`settings.unit`) and the fields that
    results are broken down by (`settings.by`). DataError names those whose probabilities or reading do not fit the
    task, and says so if only some of them have probabilities."""
    rows, faults = [], []
    num_scored = sum(one.probabilities is not None for one in predictions)
    if 0 < num_scored < len(predictions):
        raise DataError(
            f"{name}: {num_scored:,} of {counted(len(predictions), 'prediction')} have probabilities; give them for "
            "all, or for none"
        )
    for record, conversation, prediction in zip(records, conversations, predictions, strict=True):
        try:
            answer, reading = _answer(task, conversation, prediction)
        except ValueError as fault:
            faults.append(f"{name}: {record.id}: {fault}")
            continue
        rows.append(row_of(task, record, conversation, answer, settings.by, reading))
    raise_first(faults)
    units = units_of(records, conversations, task.fields_asked(), settings.unit)
    return [
        replace(row, unit=unit, unit_kind=units.kind) for row, unit in zip(rows, units.names, strict=True)
    ]


def settings_of_rows(settings: Evaluate, task: Task, rows: Sequence[Row]) -> Evaluate:
    """The settings with an engine that gives what the rows have, and without the metrics that need more."""
    kind = "score" if all(row.scores is not None for row in rows) else "generate"
    values = settings.model_dump(mode="json") | {"engine": {"kind": kind}}
    able = Evaluate.model_validate(values)
    if settings.metrics is not None:
        able = able.model_copy(update={"metrics": possible_metrics(settings.metrics, task, able)})
    return able


def _answer(
    task: Task, conversation: Conversation, prediction: ExternalPrediction
) -> tuple[Answer, Any | Unread | None]:
    """The answer, and its reading where that is not to be had of the words; ValueError says what does not fit."""
    probabilities = _probabilities(task, prediction)
    if conversation.boxes is not None:
        return _boxes_answer(conversation, prediction)
    answer = Answer(prediction.answer or "", prediction.ended, probabilities=probabilities)
    if prediction.answer is not None:
        return answer, None
    if prediction.unread is not None:
        return answer, Unread(prediction.unread)
    labels = task.labels_in_order
    if prediction.reading is None:
        assert labels is not None
        assert probabilities is not None
        likeliest = labels[max(range(len(labels)), key=probabilities.__getitem__)]
        return Answer(likeliest, probabilities=probabilities), likeliest
    stated = prediction.reading
    named = stated if isinstance(stated, list) and task.is_multi else [stated]
    if labels is not None and (
        task.is_multi != isinstance(stated, list) or not set(map(str, named)) <= {*labels}
    ):
        raise ValueError(f"'reading' is {stated!r:.60}; it must be one of the labels ({', '.join(labels)})")
    text = stated if isinstance(stated, str) else json.dumps(stated, ensure_ascii=False)
    return Answer(text, probabilities=probabilities), stated


def _boxes_answer(conversation: Conversation, prediction: ExternalPrediction) -> tuple[Answer, Unread | None]:
    """Boxes that were stated in pixels, or else read in the answer as JSON in pixels of the original picture."""
    assert conversation.boxes is not None
    picture, labels = conversation.boxes.picture, conversation.boxes.labels
    if prediction.reading is not None:
        boxes = tuple(_stated_box(one, picture.width, picture.height) for one in prediction.reading)
        text = prediction.answer or json.dumps(prediction.reading, ensure_ascii=False)
        return Answer(text, boxes=boxes), None
    text = prediction.answer or ""
    if prediction.unread is not None:
        return Answer(text, prediction.ended), Unread(prediction.unread)
    from tunesmith.model.families._boxes import read

    try:
        return Answer(text, prediction.ended, boxes=read(text, (picture.width, picture.height), labels)), None
    except ValueError as fault:
        return Answer(text, prediction.ended, fault=str(fault)), None


def _stated_box(value: Any, width: int, height: int) -> Box:
    pixels = value.get("pixels") if isinstance(value, Mapping) else None
    if (
        not isinstance(pixels, list)
        or len(pixels) != 4
        or not all(isinstance(one, int | float) and math.isfinite(one) for one in pixels)
        or not isinstance(value.get("label"), str)
    ):
        raise ValueError(
            f'\'reading\' holds {value!r:.60}; a box is {{"label": "cat", "pixels": [left, top, right, bottom]}}'
        )
    left, right = sorted(min(max(edge / width, 0.0), 1.0) for edge in pixels[::2])
    top, bottom = sorted(min(max(edge / height, 0.0), 1.0) for edge in pixels[1::2])
    return Box(value["label"], (left, top, right, bottom))


def _probabilities(task: Task, prediction: ExternalPrediction) -> tuple[float, ...] | None:
    """The probability of each class in the order of the labels; ValueError if they are none."""
    given, labels = prediction.probabilities, task.labels_in_order
    if given is None:
        return None
    if labels is None:
        raise ValueError(f"has probabilities, but task {task.kind!r} has no classes; leave them out")
    if set(given) != set(labels):
        missing, unknown = [one for one in labels if one not in given], [*(set(given) - set(labels))]
        lacks = f"lacks {', '.join(missing)}" if missing else f"has {unknown[0]!r}, which is no label"
        raise ValueError(f"'probabilities' {lacks}; it must have each label once ({', '.join(labels)})")
    values = [given[label] for label in labels]
    if not all(
        isinstance(one, int | float) and not isinstance(one, bool) and 0 <= one <= 1 for one in values
    ):
        raise ValueError("'probabilities' has a value that is no number from 0 to 1")
    total = sum(values)
    if not task.is_multi and abs(total - 1) > 0.01:
        raise ValueError(f"'probabilities' add up to {total:.3g}; they must add up to 1")
    return tuple(values) if task.is_multi else tuple(one / total for one in values)


def _named(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _NUM_NAMED:,} more" if len(ids) > _NUM_NAMED else ""
    return ", ".join(ids[:_NUM_NAMED]) + more


def raise_first(faults: Sequence[str]) -> None:
    """DataError with the first faults and the number of the others; nothing happens if there is none."""
    if faults:
        more = f"\nand {len(faults) - _NUM_NAMED} more" if len(faults) > _NUM_NAMED else ""
        raise DataError("\n".join(faults[:_NUM_NAMED]) + more)
