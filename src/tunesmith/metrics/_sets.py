"""Counts of answers that name any number of classes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tunesmith.metrics import Outcomes
from tunesmith.metrics._statistics import Count, count_of


def all_labels_counts(outcomes: Outcomes) -> Iterator[Count]:
    """Right labels of each row, of those that are right, wrong or missed."""
    yield _count("labels_f1", "", outcomes)


def label_counts(outcomes: Outcomes) -> Iterator[Count]:
    """The same for each class."""
    for label in outcomes.labels:
        yield _count(f"labels_f1_macro/{label}", f"/{label}", outcomes)


def _count(name: str, suffix: str, outcomes: Outcomes) -> Count:
    none = np.zeros(len(outcomes.unread))
    hits, false_alarms, misses = (
        np.nan_to_num(outcomes.marks.get(f"{mark}{suffix}", none))
        for mark in ("hits", "false_alarms", "misses")
    )
    return count_of(name, hits, hits + false_alarms + misses, size=hits + misses)
