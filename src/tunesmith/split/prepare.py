"""Prepared data: all records in one file, each on its side, with a certificate that no side holds another's
records.

Made once for each setting of `data`, then shared by every variant; everything after works on the folder.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from tunesmith.config.experiment import Data
from tunesmith.config.experiment import Leaks as LeakSettings
from tunesmith.errors import DataError, counted, in_words
from tunesmith.files import expanded, whole_folder, write_sums
from tunesmith.images.roots import ImageRoots
from tunesmith.images.thumbnails import Thumbnails
from tunesmith.records.image_ingestion import ImageIngestor
from tunesmith.records.progress import Report, reporting
from tunesmith.records.sources import Source
from tunesmith.records.store import RecordStore, Selection, write_store
from tunesmith.runs.manifest import MANIFEST, DedupFields, EarlierManifest, LeakSummary, Manifest
from tunesmith.split import leaks as leaks_room
from tunesmith.split import manifest, similar_images
from tunesmith.split.assign import Amount, Choice, wanted
from tunesmith.split.contradictions import contradiction_notes, contradictions
from tunesmith.split.dedup_keys import DedupKeys, KeyBuilder
from tunesmith.split.leaks import LeakingRecords
from tunesmith.split.reading import Reader, Use, sources_of
from tunesmith.split.remarks import Remarks
from tunesmith.split.sides import Side, SideName
from tunesmith.split.similar_texts import Alike, AlikeBuilder
from tunesmith.split.union_find import Clusters

_FORMAT = 2
_RECORDS = "records.arrow"
_SIGNATURES = "alike"
_THUMBNAILS = "thumbnails"
_AGAIN = "Remove the folder and prepare the data again."
_KEPT = (Side.TRAIN, Side.VALIDATION, Side.TEST)
_DROP_ADVICE = (
    "Take them out of one of the two, or set data.leaks.action to drop: "
    "then the first of each pair is left out and counted."
)
_KEEP_ADVICE = (
    "One record of each pair would have to change sides. If the first was added after the manifest was made, take it "
    "out of the data. Or set data.leaks.action to drop: then the first of each pair is left out and counted, and what "
    "is held out stays."
)


@dataclass(frozen=True)
class Prepared:
    """A prepared folder, opened."""

    folder: Path
    certificate: Manifest
    """The content of `manifest.json`: settings, counts, checksum, leaks found and dropped, bad rows."""
    base: Path = Path()
    """Folder of the experiment file, from which the pictures are found that were not copied."""

    @staticmethod
    def open(folder: Path, base: Path = Path()) -> Prepared:
        """The folder that `prepare` made; DataError if it is none."""
        return Prepared(folder, manifest.read_certificate(folder), base)

    @property
    def counts(self) -> dict[str, int]:
        """Number of records by side: train, validation, test, dropped."""
        return dict(self.certificate.counts)

    @property
    def decision(self) -> str | None:
        """What was decided over the whole sources, for `Task.decided`."""
        return self.certificate.decision

    def records(self, side: SideName) -> Selection:
        """Records of one side in the order of their sources, read from disk when they are asked for."""
        return Selection(self._store, np.flatnonzero(self._sides == Side[side.upper()]))

    def verify(self) -> None:
        """Nothing, if every record is what the manifest says and no side holds another's records; else
        DataError names the records, or the pairs. Near-duplicates and look-alike pictures are not looked for again:
        records and sides are those among which they were."""
        table = manifest.read_rows(self.folder / manifest.ROWS)
        if self.certificate.fields is None:
            raise DataError(f"{self.folder / manifest.CERTIFICATE}: lacks the fields of the split. {_AGAIN}")
        keys = KeyBuilder(self.certificate.fields)
        changed: list[str] = []
        hashes = table["sha256"].to_pylist()
        if len(hashes) != len(self._store):
            raise DataError(
                f"{self.folder}: {counted(len(self._store), 'record')}, but {len(hashes)} in the manifest. {_AGAIN}"
            )
        for index, (id, _, text) in enumerate(self._store.stored()):
            sha256 = hashlib.sha256(text.encode()).hexdigest()
            if sha256 != hashes[index]:
                changed.append(id)
            elif not changed:
                keys.add(id, sha256, self._fields(index, text))
        if changed:
            names = ", ".join(changed[: leaks_room.NUM_NAMED])
            raise DataError(
                f"{self.folder}: {counted(len(changed), 'record is', 'records are')} not what the manifest says: "
                f"{names}. {_AGAIN}"
            )
        found = keys.keys()
        pictures = None if found.images is None else similar_images.versions(found.images)
        leaks_room.refuse(leaks_room.find(found, self._sides, pictures=pictures), self._store, _AGAIN)

    @cached_property
    def _store(self) -> RecordStore:
        manifest.refuse_changed(self.folder / _RECORDS)
        return RecordStore(self.folder / _RECORDS, self._fields)

    @cached_property
    def _fields(self) -> Callable[[int, str], dict[str, Any]]:
        """Makes the fields of a record of its number and its JSON text."""
        folders = self.certificate.pictures_beside
        if not folders:
            return lambda _, text: dict(json.loads(text))
        return ImageRoots(self.folder, self.base, folders).fields

    @cached_property
    def _sides(self) -> Int[np.ndarray, " record"]:
        return manifest.sides_in(manifest.read_rows(self.folder / manifest.ROWS))


def prepared_key(
    data: Data, asked: tuple[str, ...], base: Path, checked: str = "", pictures: tuple[str, ...] = ()
) -> str:
    """Twelve hexadecimal digits that change when the prepared data would: settings of `data`, fields that the
    task asks about and those of them that hold pictures, the sources' fingerprints, and `checked`, a text for
    whatever the check of records goes by."""
    # A setting that is not set leaves the keys of earlier versions as they were.
    settings = data.model_dump(mode="json", exclude={"length", *(["where"] if data.where is None else [])})
    earlier = data.split.manifest and _earlier(data.split.manifest, base)
    stated = [_FORMAT, settings, list(asked), _fingerprint(data, base), checked, earlier, list(pictures)]
    return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()[:12]


def prepare(
    data: Data,
    asked: tuple[str, ...],
    base: Path,
    folder: Path,
    use: Use | None = None,
    progress: Report | None = None,
    checked: str = "",
    pictures: tuple[str, ...] = (),
    decide: Callable[[], str | None] | None = None,
) -> Prepared:
    """The prepared folder, made unless it is there already with the same key.

    `asked` are the fields that the task's question is made of, `base` is what relative paths are relative
    to, `use` is what the task does with a record, `checked` is a text that changes when
    `use` does, and `pictures` are the fields that hold pictures. `decide` is called before the rows are read and says
    what has to be known of the whole sources (see `Task.decide`); the certificate keeps it as `decision`. DataError if
    rows cannot be read, the hold-out cannot be had, or records leak; then the folder is as it was before.
    """
    key = prepared_key(data, asked, base, checked, pictures)
    if not _is_prepared(folder, key):
        with whole_folder(folder) as making, reporting(progress) as report:
            decision = decide() if decide is not None else None
            _Preparation(data, asked, pictures, base, making, report, decision).make(use, key)
    return Prepared.open(folder, base)


@dataclass
class _Preparation:
    """One making of a prepared folder."""

    data: Data
    asked: tuple[str, ...]
    pictures: tuple[str, ...]
    base: Path
    folder: Path
    report: Report
    decision: str | None = None

    def make(self, use: Use | None, key: str) -> None:
        """Write the store, the manifest and the certificate into the folder."""
        near = self.data.leaks.near
        builder = KeyBuilder(self._fields)
        gathered = AlikeBuilder(self.folder / _SIGNATURES, near) if near is not None else None
        with write_store(self.folder / _RECORDS) as writer:
            thumbnails = Thumbnails(self.folder / _THUMBNAILS) if self._looks_for_alike else None
            taking = (
                ImageIngestor(self.data.pictures, self.pictures, self.folder, thumbnails=thumbnails)
                if self.pictures
                else None
            )
            reader = Reader(writer, builder, gathered, use, taking, self.data.join, self.data.where)
            reader.read(self.data, self.base, self.report)
            if self.data.on_bad_rows == "stop":
                reader.bad.refuse(reader.advice())
        keys = builder.keys()
        store = RecordStore(self.folder / _RECORDS)
        if not len(store):
            if not reader.bad.count:
                raise DataError(f"data.where: {self.data.where!r} holds for no record")
            first = ": ".join(reader.bad.first[0])
            raise DataError(
                f"data: no row can be used, of {counted(reader.bad.count, 'row')}; the first is {first}"
            )
        alike = None
        if gathered is not None:
            alike = gathered.similar_texts(keys, self.report)
            shutil.rmtree(self.folder / _SIGNATURES)
        pictures = self._alike(keys, thumbnails)
        chosen = _Sides(self.data, self.base, keys, alike, pictures, store).chosen()
        checksum = manifest.write_rows(self.folder, store, chosen.sides, keys.text)
        MANIFEST.write(self.folder, self._certificate(reader, keys, store, chosen, checksum, key))
        write_sums(self.folder, _RECORDS, manifest.ROWS, manifest.CERTIFICATE)

    @property
    def _looks_for_alike(self) -> bool:
        """True if pictures are laid over one another."""
        return bool(self.pictures) and self.data.leaks.pictures is not None

    def _alike(self, keys: DedupKeys, thumbnails: Thumbnails | None) -> Int[np.ndarray, " picture"] | None:
        """Equal numbers for pictures that are the same file or look alike; None if there are no pictures."""
        found = None
        if keys.images is not None:
            found = similar_images.versions(keys.images, self.data.leaks.pictures, thumbnails, self.report)
        if thumbnails is not None:
            shutil.rmtree(self.folder / _THUMBNAILS)
        return found

    @property
    def _fields(self) -> DedupFields:
        split = self.data.split
        by = tuple(split.by) if split.by is not None else self.asked
        asked = () if by == self.asked else self.asked
        return DedupFields(by, split.by is not None, split.group, split.stratify, asked)

    def _certificate(
        self, reader: Reader, keys: DedupKeys, store: RecordStore, chosen: _Chosen, checksum: str, key: str
    ) -> Manifest:
        counts = np.bincount(chosen.sides, minlength=len(Side)).tolist()
        has_images = keys.images is not None
        disagreements = contradictions(keys, store)
        return Manifest(
            checksum=checksum,
            counts={side.word: counts[side] for side in (*_KEPT, Side.DROPPED)},
            made=datetime.now(UTC).isoformat(timespec="seconds"),
            source=_fingerprint(self.data, self.base),
            settings=self.data.model_dump(mode="json"),
            by=self._fields.by,
            strata=_strata(keys, chosen.sides),
            bad_rows=reader.bad.summary(),
            leaks=_leak_summary(self.data.leaks, has_images, chosen.leaks, store),
            decision=self.decision,
            key=key,
            fields=self._fields,
            duplicates=chosen.duplicates,
            earlier=chosen.earlier,
            contradictions=disagreements,
            notes=(*reader.notes(), *chosen.notes, *contradiction_notes(disagreements)),
            pictures_beside=tuple(reader.roots.runs) if has_images else None,
        )


@dataclass(frozen=True, eq=False)
class _Chosen:
    """The chosen sides, and what the certificate says about the choice."""

    sides: Int[np.ndarray, " record"]
    leaks: LeakingRecords
    """The leaks that were dropped."""
    duplicates: dict[str, int]
    earlier: EarlierManifest | None
    notes: list[str]
    """What a reader should know, in sentences."""


@dataclass(frozen=True, eq=False)
class _Sides:
    """The choice of a side for every record."""

    data: Data
    base: Path
    keys: DedupKeys
    alike: Alike | None
    pictures: Int[np.ndarray, " picture"] | None
    store: RecordStore

    def chosen(self) -> _Chosen:
        """The side of every record, the leaks that were dropped, and remarks. DataError if records leak and
        `data.leaks.action` is `refuse`."""
        split, keys = self.data.split, self.keys
        clusters, repeats = self._linked()
        roots = clusters.roots()
        sides, free = keys.origin.copy(), keys.origin == Side.TRAIN
        earlier = None
        if split.manifest is not None:
            known = manifest.earlier(self.base / expanded(split.manifest), self.store, keys.text)
            earlier = known.summary(str(split.manifest))
            sides, free = self._kept(known, roots)
        found = leaks_room.find(keys, sides, self.alike, self.pictures)
        if self.data.leaks.action == "refuse":
            leaks_room.refuse(found, self.store, _DROP_ADVICE if split.manifest is None else _KEEP_ADVICE)
        sides[found.records] = Side.DROPPED
        _refuse_no_training(sides)
        at = np.flatnonzero(free & (sides == Side.TRAIN))
        amounts = self._amounts(len(at) if split.manifest is None else int((sides != Side.DROPPED).sum()))
        remarks = Remarks(keys, roots, repeats, self.store)
        choice = Choice(keys.side[at], roots[at], keys.stratum[at], split.seed)
        missing = amounts if split.manifest is None else [_missing(one, sides, len(at)) for one in amounts]
        sides[at] = choice.sides(missing, remarks.largest())
        _refuse_no_training(sides)
        adjusted = at[choice.adjusted(sides[at], missing)]
        notes = [*manifest.kept_notes(earlier), *remarks.of(sides, amounts), *remarks.adjusted(adjusted)]
        return _Chosen(sides, found, repeats, earlier, notes)

    def _linked(self) -> tuple[Clusters, dict[str, int]]:
        """Clusters of records that belong together, and numbers of records that repeat another by what they repeat."""
        keys = self.keys
        clusters = Clusters(len(keys.id))
        repeats = {
            "content": len(keys.id) - len(np.unique(keys.content)),
            "text": clusters.link_equal(keys.text),
        }
        if self.alike is not None:
            before = len(np.unique(clusters.roots()))
            self.alike.link(clusters)
            repeats["near"] = before - len(np.unique(clusters.roots()))
        if self.pictures is not None:
            repeats["picture"] = len(self.pictures) - len(np.unique(self.pictures))
        if keys.group is not None:
            clusters.link_equal(keys.group)
        if keys.images is not None and self.pictures is not None:
            similar_images.link(clusters, keys.images, self.pictures)
        return clusters, repeats

    def _kept(
        self, known: manifest.Earlier, roots: Int[np.ndarray, " record"]
    ) -> tuple[Int[np.ndarray, " record"], Bool[np.ndarray, " record"]]:
        """The sides that records had before, which added ones of the same cluster share; and which records are free to
        be on any side. DataError names records that a source of their own puts on another side."""
        sides, origin = known.sides.copy(), self.keys.origin
        added = sides < 0
        moved = np.flatnonzero(~added & (origin != Side.TRAIN) & (sides != origin) & (sides != Side.DROPPED))
        if len(moved):
            listed = [
                f"  {self.store[at].id}: {Side(int(sides[at])).word} before, {Side(int(origin[at])).word} now"
                for at in moved[: leaks_room.NUM_NAMED].tolist()
            ]
            raise DataError(
                "\n".join(
                    [
                        f"data.split.manifest: {counted(len(moved), 'record')} would have to change sides:",
                        *listed,
                        "Take them out of the source of the side that they were not on, or leave `manifest` out.",
                    ]
                )
            )
        sides[added] = origin[added]
        # The least protected side of a cluster: an added record that is near a held-out one as well is then a leak.
        least = np.full(len(sides), Side.TEST + 1)
        held = ~added & (sides != Side.DROPPED)
        np.minimum.at(least, roots[held], sides[held])
        follows = added & (origin == Side.TRAIN) & (least[roots] <= Side.TEST)
        sides[follows] = least[roots[follows]]
        return sides, added & (origin == Side.TRAIN) & ~follows

    def _amounts(self, total: int) -> list[Amount]:
        split = self.data.split
        asked = ((Side.TEST, "holdout", split.holdout), (Side.VALIDATION, "validation", split.validation))
        return [
            wanted(side, f"data.split.{name}", amount, total)
            for side, name, amount in asked
            if not isinstance(amount, Source)
        ]


def _missing(amount: Amount, sides: Int[np.ndarray, " record"], num_free: int) -> Amount:
    """What a side that an earlier manifest filled lacks yet: of a share, that share of the added records."""
    if amount.share is not None:
        return replace(amount, number=round(amount.share * num_free))
    return replace(amount, number=min(num_free, max(0, amount.number - int((sides == amount.side).sum()))))


def _strata(keys: DedupKeys, sides: Int[np.ndarray, " record"]) -> dict[str, dict[str, int]]:
    """Number of records by side and stratum; nothing if records are not stratified."""
    if not keys.strata:
        return {}
    tallies = {
        side.word: np.bincount(keys.stratum[sides == side], minlength=len(keys.strata)) for side in _KEPT
    }
    return {side: dict(zip(keys.strata, tally.tolist(), strict=True)) for side, tally in tallies.items()}


def _leak_summary(
    settings: LeakSettings, has_images: bool, leaks: LeakingRecords, store: RecordStore
) -> LeakSummary:
    return LeakSummary(
        settings.action,
        settings.near,
        settings.pictures if has_images else None,
        exact_pairs=len(leaks.why) - leaks.num_near - leaks.num_pictures,
        near_pairs=leaks.num_near,
        picture_pairs=leaks.num_pictures,
        dropped=len(leaks.why),
        examples=tuple(leaks.named(store)),
    )


def _refuse_no_training(sides: Int[np.ndarray, " record"]) -> None:
    if not (sides == Side.TRAIN).any():
        held = ", ".join(f"{(sides == side).sum()} {side.word}" for side in Side if side != Side.TRAIN)
        raise DataError(
            f"data.split: no record is left to train on, of {len(sides)} ({held}). "
            "Lower data.split.holdout and data.split.validation, or give more records."
        )


def _fingerprint(data: Data, base: Path) -> str:
    return " | ".join(f"{side.word}: {source.fingerprint(base)}" for side, source in sources_of(data))


def _earlier(path: Path, base: Path) -> str:
    where = base / expanded(path)
    where = where / manifest.ROWS if where.is_dir() else where
    if not where.is_file():
        raise DataError(
            f"data.split.manifest: {path} does not exist in {in_words(base)}. Give a manifest.parquet, or its folder."
        )
    return hashlib.sha256(where.read_bytes()).hexdigest()


def _is_prepared(folder: Path, key: str) -> bool:
    manifest.refuse_changed(folder / manifest.CERTIFICATE)
    try:
        return manifest.read_certificate(folder).key == key
    except DataError:
        return False
