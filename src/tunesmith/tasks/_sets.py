"""What an answer is worth that names any number of classes, where any number of them is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

MARKS_OF_SETS = ("hits", "false_alarms", "misses")
"""Classes that are rightly named, wrongly named, and not named. Each stands for single classes too, as `hits/World`,
where it is not 0."""


def marks_of_set(true: Sequence[str], named: Sequence[str] | None) -> Mapping[str, float]:
    """`correct` (1 if just the true classes are named), and the numbers of right, wrong and missed
    ones. An unread answer (None) names none and is not correct.

    >>> marks_of_set(["World"], ["World", "Sports"])["false_alarms"]
    1.0
    """
    found = set(named or ())
    sets = {
        "hits": [label for label in true if label in found],
        "false_alarms": [label for label in named or () if label not in true],
        "misses": [label for label in true if label not in found],
    }
    exact = float(named is not None and found == set(true))
    counts = {name: float(len(labels)) for name, labels in sets.items()}
    single = {f"{name}/{label}": 1.0 for name, labels in sets.items() for label in labels}
    return {"correct": exact, **counts, **single}
