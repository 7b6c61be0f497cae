"""Which classes are taken for which: tables of a few classes and maps of many, with confused classes side by side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from tunesmith.evaluate.scores import Confusion
from tunesmith.report import words
from tunesmith.report.run_folder import RunView

MAX_CLASSES = 40
"""A table shows at most this many classes: those with the most mistakes."""
MAX_MAPPED = 500
"""A map shows at most this many."""
DENSE_FROM = 12
"""With more classes than this, cells are small and confused classes are next to each other."""
NUM_DEPTHS = 5
"""Depths of colour in a map."""
MAX_SPOTS = 300
"""Number of mistakes of a map, the most frequent, that are labelled."""
_MOST_ANSWERS = 3


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix ready to draw as a table."""

    title: str
    labels: tuple[str, ...]
    rows: tuple[tuple[tuple[int, float], ...], ...]
    """By true class: count and depth of colour (0 to 1) of each predicted class; the last is unread."""
    is_dense: bool
    left_out: int
    """Classes that are not shown because they had the fewest mistakes."""

    @property
    def answers(self) -> tuple[str, ...]:
        """The class of a column."""
        return (*self.labels, "unread")


@dataclass(frozen=True)
class Map:
    """A confusion matrix of many classes, ready to draw in cells of one unit."""

    title: str
    labels: tuple[str, ...]
    cells: tuple[tuple[str, int, str], ...]
    """Path of the cells of one kind (`right` or `wrong`) and depth (1 to NUM_DEPTHS), as kind, depth and path."""
    rows: tuple[str, ...]
    """Of each class, what became of its records."""
    spots: tuple[tuple[int, int, str], ...]
    """Column and row of cells that say which two classes they are of, and that."""
    left_out: int
    """Classes that are not shown because they had the fewest mistakes."""


def matrices(run: RunView) -> list[Matrix]:
    """Tables of base and tuned model, of the same classes in the same order."""
    found = list(_confusions(run))
    shown = shown_classes(found[-1][1], MAX_CLASSES) if found else []
    return [matrix(title, confusion, shown) for title, confusion in found]


def maps(run: RunView) -> list[Map]:
    """Maps of the tuned and then the base model if there are more classes than a table shows, else none."""
    found = list(_confusions(run))
    if not found or len(found[-1][1].labels) <= MAX_CLASSES:
        return []
    shown = shown_classes(found[-1][1], MAX_MAPPED)
    return [confusion_map(title, confusion, shown) for title, confusion in reversed(found)]


def _confusions(run: RunView) -> Iterator[tuple[str, Confusion]]:
    for title, evaluated in (("Base", run.base), ("Tuned", run.tuned)):
        if evaluated is not None and evaluated.scores.confusion is not None:
            yield title, evaluated.scores.confusion


def shown_classes(confusion: Confusion, most: int) -> list[int]:
    """Indices of the classes to show, in the order to show them: all, or those with the most mistakes; where they are
    many, with confused classes side by side."""
    counts, num_classes = confusion.counts, len(confusion.labels)
    mistakes = [
        sum(counts[index]) + sum(row[index] for row in counts) - 2 * counts[index][index]
        for index in range(num_classes)
    ]
    kept = sorted(sorted(range(num_classes), key=lambda index: (-mistakes[index], index))[:most])
    if len(kept) <= DENSE_FROM:
        return kept
    table = np.array(counts, float)
    shares = table[:, :-1] / np.maximum(table.sum(1, keepdims=True), 1)
    return [kept[place] for place in side_by_side(shares[np.ix_(kept, kept)])]


def side_by_side(shares: Float[np.ndarray, "label label"]) -> list[int]:
    """Indices of all classes, those that are often taken for one another next to each other: groups are joined from
    the most confused on (average linkage: Sokal and Michener 1958), the most confused of their ends meeting."""
    confused = shares + shares.T
    links = confused.copy()
    np.fill_diagonal(links, -1)
    groups, sizes = {index: [index] for index in range(len(shares))}, np.ones(len(shares))
    while len(groups) > 1:
        one, other = sorted(map(int, np.unravel_index(links.argmax(), links.shape)))
        if links[one, other] <= 0:
            break
        first, second = groups[one], groups.pop(other)
        groups[one] = max(
            (before + after for before in (first, first[::-1]) for after in (second, second[::-1])),
            key=lambda joined: confused[joined[len(first) - 1], joined[len(first)]],
        )
        both = (sizes[one] * links[one] + sizes[other] * links[other]) / (sizes[one] + sizes[other])
        links[one], links[:, one] = both, both
        links[other], links[:, other] = -1, -1
        links[one, one] = -1
        sizes[one] += sizes[other]
    return [index for group in groups.values() for index in group]


def matrix(title: str, confusion: Confusion, shown: Sequence[int]) -> Matrix:
    """The confusion matrix as a table of the classes `shown`, in their order.

    A cell's depth is its share of the row, and the root of it where many classes make all shares small.
    """
    counts, num_classes = confusion.counts, len(confusion.labels)
    is_dense = len(shown) > DENSE_FROM

    def cells(row: Sequence[int]) -> tuple[tuple[int, float], ...]:
        total, power = sum(row) or 1, 0.5 if is_dense else 1.0
        return tuple((row[column], (row[column] / total) ** power) for column in (*shown, num_classes))

    return Matrix(
        title,
        tuple(confusion.labels[index] for index in shown),
        tuple(cells(counts[true]) for true in shown),
        is_dense,
        num_classes - len(shown),
    )


def confusion_map(title: str, confusion: Confusion, shown: Sequence[int]) -> Map:
    """The confusion matrix as a map of the classes `shown`, in their order."""
    drawn = matrix(title, confusion, shown)
    paths: dict[tuple[str, int], list[str]] = defaultdict(list)
    mistakes = []
    for y, row in enumerate(drawn.rows):
        for x, (count, depth) in enumerate(row):
            if count:
                kind = "right" if x == y else "wrong"
                paths[kind, max(1, round(depth * NUM_DEPTHS))].append(f"M{x} {y}.5h1")
                if x != y:
                    mistakes.append((count, x, y))
    totals = [sum(confusion.counts[index]) for index in shown]
    spots = sorted(mistakes, key=lambda mistake: -mistake[0])[:MAX_SPOTS]
    return Map(
        title,
        drawn.labels,
        tuple((kind, depth, "".join(path)) for (kind, depth), path in sorted(paths.items())),
        tuple(_in_words(confusion, true) for true in shown),
        tuple(
            (x, y, f"{drawn.labels[y]}, answered {drawn.answers[x]}: {count} of {totals[y]}")
            for count, x, y in spots
        ),
        drawn.left_out,
    )


def _in_words(confusion: Confusion, true: int) -> str:
    """`Fern: 60 of 83 right; answered Moss 20, Reed 2, Sage 1`."""
    row, answers = confusion.counts[true], (*confusion.labels, "unread")
    wrong = [index for index in range(len(row)) if row[index] and index != true]
    wrong.sort(key=lambda index: -row[index])
    shown = ", ".join(f"{answers[index]} {words.count(row[index])}" for index in wrong[:_MOST_ANSWERS])
    right = f"{confusion.labels[true]}: {words.count(row[true])} of {words.count(sum(row))} right"
    return f"{right}; answered {shown}" if shown else right
