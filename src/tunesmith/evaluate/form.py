"""Form against content: how much of a gain is answers that the base gave in a form that could not be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunesmith.evaluate.rows import Row

_CORRECT = "correct"


@dataclass(frozen=True)
class FormAndContent:
    """The change of the mean of one mark, in two parts that add up to it."""

    mark: str
    """Name of the mark: the primary metric's own, or `correct`."""
    form: float
    """Part of records whose answer could be read from only one of the two models."""
    content: float
    """Part of records whose answers both could be read, or neither."""
    now_read: int
    """Number of answers that only the second model gave in a form that can be read."""
    now_unread: int
    """Number of answers that only the first model gave in a form that can be read."""

    @property
    def form_share(self) -> float:
        """Share of the change that is form; over 1 if the content changed the other way, 0 without a change."""
        total = self.form + self.content
        return self.form / total if total else 0.0


def form_and_content(first: Sequence[Row], second: Sequence[Row], primary: str) -> FormAndContent | None:
    """How the change from the first rows to the second (of the same records, in the same order) divides into form and
    content. None if the rows have neither a mark named after the primary metric nor `correct`, or no rows are given.

    An unread answer gets the mark of no answer, so a model that only learns the expected form gains without knowing
    more. Records that one model answers readably and the other does not are counted as form, all others as content.
    """
    pairs = list(zip(first, second, strict=True))
    mark = next((name for name in (primary, _CORRECT) if any(name in row.marks for row in first)), None)
    if mark is None:
        return None
    sums = {True: 0.0, False: 0.0}
    now_read = now_unread = 0
    for before, after in pairs:
        values = before.marks.get(mark), after.marks.get(mark)
        is_form = (before.unread is None) != (after.unread is None)
        if values[0] is not None and values[1] is not None:
            sums[is_form] += values[1] - values[0]
        now_read += is_form and after.unread is None
        now_unread += is_form and before.unread is None
    return FormAndContent(mark, sums[True] / len(pairs), sums[False] / len(pairs), now_read, now_unread)
