"""A sample's journey, form 6: one answered record, as in `rows.jsonl` (docs/run-folder.md)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.errors import DataError
from tunesmith.files import whole_file

_AGAIN = "delete the folder {}, if it is there, and call `tunesmith run` with the same experiment"


@dataclass(frozen=True)
class Row:
    """What was asked, answered, read and marked for one record."""

    record: str
    """Id of the record."""
    sha256: str
    """Hash of its fields."""
    asked: str
    """Text of the last user turn."""
    reference: str
    answer: str
    ended: bool
    """False if the answer was cut at its longest allowed length."""
    reading: Any
    """The parsed value (JSON-like), or None if unread."""
    unread: str | None
    """Why the answer could not be read, or None."""
    label: int | None
    """Index of the true class, if the task has classes."""
    predicted: int | None
    """Index of the class that was read."""
    marks: Mapping[str, float | None]
    """Numbers that metrics are made of; None where there is none."""
    scores: tuple[float, ...] | None
    """Probability of each class, if the engine gave them."""
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What results are broken down by: the record's fields that `evaluate.by` names, and the task's own kinds."""
    pictures: tuple[str, ...] = ()
    """Files of the pictures that the last user turn shows, or else of all."""
    boxes: tuple[Mapping[str, Any], ...] = ()
    """True boxes of a task that asks where things are, each its label and corners as shares of the picture."""
    unit: str = ""
    """Name of the unit that the record belongs to (`evaluate/units.py`): rows of one unit may depend on each other. By
    default the record is its own."""
    unit_kind: str = "record"
    """What rows of one unit have in common: a field, `picture`, ..., or `record` where each row is its own unit."""

    def __post_init__(self) -> None:
        """A row without a unit is one of its own."""
        if not self.unit:
            object.__setattr__(self, "unit", self.record)

    def to_json(self) -> str:
        """The row as one line of JSON, without the line's end."""
        return json.dumps(vars(self), ensure_ascii=False, allow_nan=False)

    @staticmethod
    def from_json(line: str) -> Row:
        """The row of a line; ValueError, TypeError or KeyError if it is none."""
        values = json.loads(line)
        scores = values["scores"]
        several = {name: tuple(values.get(name, ())) for name in ("pictures", "boxes")}
        return Row(**{**values, "scores": None if scores is None else tuple(scores), **several})


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write `rows.jsonl`, whole or not at all."""
    with whole_file(path) as temporary, open_lines(temporary, "w") as file:
        file.writelines(f"{row.to_json()}\n" for row in rows)


def read_rows(path: Path) -> list[Row]:
    """All rows of a file; DataError names a line that is none, or says that there is no such file."""
    if not path.exists():
        raise DataError(f"{path}: there is no such file; {_AGAIN.format(path.parent)}")
    rows = []
    with open_lines(path, "r") as file:
        for number, line in enumerate(file, 1):
            try:
                rows.append(Row.from_json(line))
            except (ValueError, TypeError, KeyError) as error:
                raise DataError(
                    f"{path}:{number}: is not a row of an evaluation ({error}); {_AGAIN.format(path.parent)}"
                ) from error
    return rows


def open_lines(path: Path, mode: str) -> Any:
    """A text file of JSON lines. Half a surrogate pair, which UTF-8 has not, is written as JSON's escape."""
    return path.open(
        mode, encoding="utf-8", errors="backslashreplace" if mode != "r" else "strict", newline="\n"
    )
