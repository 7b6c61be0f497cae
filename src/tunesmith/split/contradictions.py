"""Records that ask the same and have different answers: annotators who disagree, or one row for each box."""

from __future__ import annotations

import numpy as np

from tunesmith.errors import counted
from tunesmith.records.store import RecordStore
from tunesmith.runs.manifest import Contradictions, Disagreement
from tunesmith.split.dedup_keys import DedupKeys

_NUM_NAMED = 2


def contradictions(keys: DedupKeys, store: RecordStore) -> Contradictions:
    """How many questions have more than one answer, how many records ask them, and two pairs of such records.

    Answers that differ in case, white space or punctuation only are equal. Records without a known answer do not count.
    """
    answered = np.flatnonzero(keys.answer != 0)
    order = answered[np.lexsort((answered, keys.question[answered]))]
    questions, answers = keys.question[order], keys.answer[order]
    starts = np.flatnonzero(np.diff(questions, prepend=~questions[:1]))
    sizes = np.diff(np.append(starts, len(order)))
    other = answers != np.repeat(answers[starts], sizes)
    questioned = np.repeat(np.arange(len(starts)), sizes)
    several = np.bincount(questioned[other], minlength=len(starts)) > 0
    first_other = np.flatnonzero(
        other & np.concatenate([[True], ~other[:-1] | (questioned[1:] != questioned[:-1])])[: len(order)]
    )
    _, firsts = np.unique(questioned[first_other], return_index=True)
    examples = []
    for at in first_other[firsts][:_NUM_NAMED].tolist():
        pair = int(starts[questioned[at]]), at
        ids = [store[int(order[index])].id for index in pair]
        texts = [keys.answers.get(int(answers[index])) for index in pair]
        examples.append(Disagreement((ids[0], ids[1]), (texts[0], texts[1])))
    return Contradictions(int(several.sum()), int(sizes[several].sum()), tuple(examples))


def contradiction_notes(contradictions: Contradictions) -> list[str]:
    """The contradictions in one sentence, or nothing if there are none."""
    if not contradictions.questions:
        return []
    pairs = "; ".join(
        " and ".join(
            f"{record} {_short(answer)}" for record, answer in zip(pair.records, pair.answers, strict=True)
        )
        for pair in contradictions.examples
    )
    questions = contradictions.questions
    return [
        f"{counted(contradictions.records, 'record asks', 'records ask')} {counted(questions, 'question')} that "
        f"{'has' if questions == 1 else 'have'} more than one answer: {pairs}"
    ]


def _short(answer: str | None) -> str:
    shown = " ".join((answer or "?").split())
    return f"{shown[:47]}..." if len(shown) > 50 else shown
