"""Whether records can give a metric at all, whatever the model will answer: checked before training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tunesmith.evaluate.defaults import function_of, resolve_engine
from tunesmith.evaluate.evaluate import row_of
from tunesmith.evaluate.scores import outcomes_of
from tunesmith.records.conversation import Conversation
from tunesmith.records.record import Record
from tunesmith.tasks import Answer, Task

if TYPE_CHECKING:
    from tunesmith.config.experiment import Evaluate


def missing_metrics(
    names: Sequence[str],
    task: Task,
    settings: Evaluate,
    records: Sequence[Record],
    conversations: Sequence[Conversation],
) -> list[str]:
    """Those of the metrics that even right answers to all of these records have no value of, such as the ROC-AUC of
    records of one class. `conversations` are those of the records, with their reference answers."""
    weighs = resolve_engine(task, settings).gives == "scores"
    rows = [
        row_of(task, record, conversation, right_answer(task, conversation, weighs))
        for record, conversation in zip(records, conversations, strict=True)
    ]
    families = list(dict.fromkeys(name.partition("/")[0] for name in names))
    outcomes, weights = outcomes_of(rows, task), np.ones(len(rows))
    values = {name: value for one in families for name, value in function_of(one)(outcomes, weights).items()}
    return [name for name in names if not math.isfinite(values.get(name, math.nan))]


def right_answer(task: Task, conversation: Conversation, weighs: bool) -> Answer:
    """The reference answer as an engine would give it: with probabilities and likelihoods if it `weighs`."""
    labels, boxes = task.labels_in_order, conversation.boxes
    if not weighs:
        return Answer(conversation.answer, boxes=boxes.boxes if boxes else None)
    if labels is None:
        return Answer(conversation.answer, scores=(0.0,), num_tokens=(1,))
    true = set(conversation.classes or ())
    return Answer(
        conversation.answer,
        scores=tuple(0.0 if index in true else -1.0 for index in range(len(labels))),
        num_tokens=(1,) * len(labels),
        probabilities=tuple(float(index in true) for index in range(len(labels))),
    )
