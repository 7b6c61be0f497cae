"""Where the files of a store's pictures are: copies in the prepared folder, all others where the data are."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tunesmith.images.picture import Picture


@dataclass
class Folders:
    """Which folder each record's pictures are named from, noted while records are read."""

    runs: list[tuple[int, str]] = field(default_factory=list)
    """From which record on, and which folder, relative to the experiment file's."""

    def note(self, index: int, folder: str) -> None:
        """Take note of a record's folder; records come in their order."""
        if not self.runs or self.runs[-1][1] != folder:
            self.runs.append((index, folder))


@dataclass(frozen=True)
class Places:
    """Makes stored records' pictures know where their files are."""

    stored: Path
    """The prepared folder."""
    base: Path
    """Folder of the experiment file, wherever it is now."""
    runs: tuple[tuple[int, str], ...]
    """As `Folders` has them."""

    def fields(self, index: int, text: str) -> dict[str, Any]:
        """The fields of the record of that number, of its JSON text."""
        at = bisect_right(self.runs, index, key=lambda run: run[0]) - 1
        beside = self.base / self.runs[at][1] if at >= 0 else self.base
        return dict(json.loads(text, object_hook=partial(self._value, beside)))

    def _value(self, beside: Path, value: Mapping[str, Any]) -> Mapping[str, Any] | Picture:
        return Picture.of_json(value, self.stored, beside) if Picture.is_one(value) else value
