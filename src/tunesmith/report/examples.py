"""What the rows of two evaluations show: examples of each kind, and how far probabilities can be trusted."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tunesmith.evaluate.rows import Row
from tunesmith.report.run_folder import Evaluated, RunView

SHOWN = 8
"""Examples of one kind on the page."""
NUM_BINS = 10


@dataclass(frozen=True)
class Example:
    """One held-out record with what both models answered."""

    base: Row | None
    tuned: Row

    @property
    def row(self) -> Row:
        """Either row: the question and the reference are the same."""
        return self.tuned


@dataclass(frozen=True)
class Group:
    """Examples of one kind: all are counted, the first few kept."""

    title: str
    what: str
    total: int
    shown: tuple[Example, ...]


@dataclass(frozen=True)
class Bin:
    """Answers whose likeliest class had about the same probability."""

    probability: float
    """Mean probability of the likeliest class."""
    right: float
    """Share of them that were right."""
    count: int


def example_groups(run: RunView) -> list[Group]:
    """Fixed, broken, still wrong and unread examples in the test side's order, and before them those whose boxes lie
    furthest from the true ones, if it is boxes that are asked for; none without a tuned model."""
    if run.tuned is None:
        return []
    fixed = set(run.comparison.fixed) if run.comparison else set()
    broken = set(run.comparison.broken) if run.comparison else set()
    kinds: list[tuple[str, str, Callable[[Example], bool]]] = [
        ("Fixed", "the base model was wrong, the tuned model is right", lambda it: it.row.record in fixed),
        ("Broken", "the base model was right, the tuned model is wrong", lambda it: it.row.record in broken),
        ("Still wrong", "both models were wrong", _still_wrong),
        ("Unread", "the tuned model's answer could not be read", lambda it: it.tuned.unread is not None),
    ]
    found: list[list[Example]] = [[] for _ in kinds]
    totals = [0 for _ in kinds]
    for example in _pairs(run.base, run.tuned):
        for index, (_, _, belongs) in enumerate(kinds):
            if belongs(example):
                totals[index] += 1
                if len(found[index]) < SHOWN:
                    found[index].append(example)
    if run.comparison:
        totals[:2] = run.comparison.num_fixed, run.comparison.num_broken
    return [
        *_furthest(run.base, run.tuned),
        *(
            Group(title, what, total, tuple(shown))
            for (title, what, _), total, shown in zip(kinds, totals, found, strict=True)
        ),
    ]


def _furthest(base: Evaluated | None, tuned: Evaluated) -> Iterator[Group]:
    """The examples with the lowest IoU of the tuned model's answers that could be read, if rows have that mark."""
    marked = [
        (iou, number, example)
        for number, example in enumerate(_pairs(base, tuned))
        if (iou := example.tuned.marks.get("iou")) is not None and example.tuned.unread is None
    ]
    if marked:
        lowest = tuple(example for _, _, example in heapq.nsmallest(SHOWN, marked))
        what = "of what could be read, the tuned model's boxes lie furthest from the true ones"
        yield Group("Lowest IoU", what, len(lowest), lowest)


def reliability(evaluated: Evaluated | None) -> list[Bin]:
    """Equal bins by the likeliest class's probability (Guo et al. 2017); none without probabilities."""
    sums = [[0.0, 0.0, 0.0] for _ in range(NUM_BINS)]
    for row in evaluated.rows if evaluated else ():
        if row.scores is not None and row.label is not None:
            sure = max(row.scores)
            total = sums[min(int(sure * NUM_BINS), NUM_BINS - 1)]
            total[0] += sure
            total[1] += row.scores.index(sure) == row.label
            total[2] += 1
    return [Bin(sure / count, right / count, int(count)) for sure, right, count in sums if count]


def _pairs(base: Evaluated | None, tuned: Evaluated) -> Iterable[Example]:
    before = {row.record: row for row in base.rows} if base else {}
    return (Example(before.get(row.record), row) for row in tuned.rows)


def _still_wrong(example: Example) -> bool:
    return example.base is not None and _is_wrong(example.base) and _is_wrong(example.tuned)


def _is_wrong(row: Row) -> bool:
    return row.marks.get("correct") == 0
