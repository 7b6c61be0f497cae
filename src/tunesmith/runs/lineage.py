"""`lineage.json`: what each stage started from and what it left."""

from __future__ import annotations

from dataclasses import dataclass, field

from tunesmith.runs.json_file import JsonFile


@dataclass(frozen=True)
class StageLineage:
    """An entry of `lineage.json`, for one stage."""

    stage: str
    started_from: str
    """Name of the stage that it started from, or `base`."""
    started_from_key: str | None = field(default=None, kw_only=True)
    """The key of what it started from."""
    key: str
    """Key of everything that decides what the stage leaves."""
    left: str | None
    """One hash of the weights that it left."""


LINEAGE = JsonFile[tuple[StageLineage, ...]]("lineage.json", tuple[StageLineage, ...])
