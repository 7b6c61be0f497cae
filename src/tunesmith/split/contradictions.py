"""Records that ask the same and have different answers: annotators who disagree, or one row for each box."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tunesmith.errors import counted
from tunesmith.records.store import RecordStore
from tunesmith.split.dedup_keys import Keys

_NUM_NAMED = 2


def contradictions(keys: Keys, store: RecordStore) -> dict[str, Any]:
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
    examples = [
        {"records": [store[int(order[starts[questioned[at]]])].id, store[int(order[at])].id],
         "answers": [keys.answers.get(int(answers[starts[questioned[at]]])), keys.answers.get(int(answers[at]))]}
        for at in first_other[firsts][:_NUM_NAMED].tolist()
    ]  # fmt: skip
    return {"questions": int(several.sum()), "records": int(sizes[several].sum()), "examples": examples}


def contradicting(found: Mapping[str, Any]) -> list[str]:
    """What `contradictions` found, in a sentence; nothing if it found none."""
    if not found["questions"]:
        return []
    pairs = "; ".join(
        f"{one['records'][0]} {_short(one['answers'][0])} and {one['records'][1]} {_short(one['answers'][1])}"
        for one in found["examples"]
    )
    return [
        f"{counted(found['records'], 'record asks', 'records ask')} {counted(found['questions'], 'question')} that "
        f"{'has' if found['questions'] == 1 else 'have'} more than one answer: {pairs}"
    ]


def _short(answer: str | None) -> str:
    shown = " ".join((answer or "?").split())
    return f"{shown[:47]}..." if len(shown) > 50 else shown
