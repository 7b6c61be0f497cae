"""Image roots: the folders that the paths of a store's pictures are relative to."""

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
class ImageRootLog:
    """The image root of each record, noted while records are read."""

    runs: list[tuple[int, str]] = field(default_factory=list)
    """Index of the first record that has a root, and the root, relative to the experiment file's folder."""

    def note(self, index: int, folder: str) -> None:
        """Take note of a record's root; records come in their order."""
        if not self.runs or self.runs[-1][1] != folder:
            self.runs.append((index, folder))


@dataclass(frozen=True)
class ImageRoots:
    """Parses stored records, giving each picture the folder of its file."""

    stored: Path
    """The prepared folder."""
    base: Path
    """Folder of the experiment file, wherever it is now."""
    runs: tuple[tuple[int, str], ...]
    """As `ImageRootLog` has them."""

    def fields(self, index: int, text: str) -> dict[str, Any]:
        """The fields of a record, parsed from its JSON text."""
        at = bisect_right(self.runs, index, key=lambda run: run[0]) - 1
        root = self.base / self.runs[at][1] if at >= 0 else self.base
        return dict(json.loads(text, object_hook=partial(self._value, root)))

    def _value(self, root: Path, value: Mapping[str, Any]) -> Mapping[str, Any] | Picture:
        return Picture.from_json(value, self.stored, root) if Picture.is_json(value) else value
