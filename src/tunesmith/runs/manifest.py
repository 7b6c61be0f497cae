"""`manifest.json`: the certificate of a split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from tunesmith.runs.json_file import JsonFile


@dataclass(frozen=True)
class LeakSummary:
    """Leaks between the sides of a split: what was looked for, and what was dropped."""

    action: str
    near: float | None = None
    """Share of common words from which texts are near-duplicates; None if only equal texts were looked for."""
    pictures: float | None = None
    """Agreement (up to 1) from which two images are near-duplicates; None if only files were compared."""
    exact_pairs: int = 0
    near_pairs: int = 0
    picture_pairs: int = 0
    dropped: int = 0
    examples: tuple[tuple[str, str, str], ...] = ()
    """The first pairs: id of the dropped record, id of the held-out record, and what they have in common."""


@dataclass(frozen=True)
class BadRowSummary:
    """Rows that could not be read and were skipped."""

    count: int
    first: tuple[tuple[str, str], ...] = ()
    """Place and fault of the first row of each kind of fault."""
    alike: tuple[int, ...] = ()
    """For each of `first`, the number of other rows with the same kind of fault."""


@dataclass(frozen=True)
class DedupFields:
    """The fields that records are compared by."""

    by: tuple[str, ...]
    """Fields whose text identifies duplicates; empty stands for all fields."""
    required: bool
    """True if a record without one of `by` is a bad row; otherwise the field counts as empty."""
    group: str | None = None
    stratify: str | None = None
    asked: tuple[str, ...] = ()
    """Fields that the task asks about, if they differ from `by`."""


@dataclass(frozen=True)
class Disagreement:
    """Two records that ask the same question and have different answers."""

    records: tuple[str, str]
    answers: tuple[str | None, str | None]


@dataclass(frozen=True)
class Contradictions:
    """Questions that have more than one answer."""

    questions: int
    records: int
    """Number of records that ask them."""
    examples: tuple[Disagreement, ...] = ()


@dataclass(frozen=True)
class EarlierManifest:
    """What became of the records of an earlier manifest whose sides were kept."""

    manifest: str
    """Path of that manifest, as the experiment names it."""
    unchanged: int
    corrected: int
    added: int
    removed: int
    first: Mapping[str, tuple[str, ...]]
    """The first ids of the corrected, added and removed records."""


@dataclass(frozen=True)
class Manifest:
    """The content of `manifest.json`. Files of earlier versions lack fields that have a default."""

    checksum: str
    """Checksum of `manifest.parquet`."""
    counts: Mapping[str, int]
    """Number of records by side: train, validation, test, dropped."""
    made: str = ""
    """Time of preparation."""
    source: str = ""
    """Fingerprint of the data files."""
    settings: Mapping[str, Any] | None = None
    """The experiment's `data` settings."""
    by: tuple[str, ...] | None = None
    """Fields whose text identifies duplicates."""
    strata: Mapping[str, Mapping[str, int]] | None = None
    """Number of records by side and stratum."""
    bad_rows: BadRowSummary | None = None
    leaks: LeakSummary | None = None
    decision: str | None = None
    """What the task decided over all records, for `Task.decided`."""
    key: str | None = None
    """Key of everything that decides what the prepared data are."""
    fields: Annotated[DedupFields | None, Field(alias="told")] = None
    """What records were compared by."""
    duplicates: Mapping[str, int] | None = None
    """Numbers of records (images) that repeat an earlier one, by what they repeat: content, text, near, picture."""
    earlier: EarlierManifest | None = None
    contradictions: Contradictions | None = None
    notes: tuple[str, ...] = ()
    """What a reader should know about the split, in sentences."""
    pictures_beside: tuple[tuple[int, str], ...] | None = None
    """From which record on image paths are relative to which folder; None for records without images."""

    @property
    def has_pictures(self) -> bool:
        """True if the records have images."""
        return self.pictures_beside is not None


MANIFEST = JsonFile[Manifest](
    "manifest.json", Manifest, omitted=("leaks.pictures", "earlier", "pictures_beside")
)
