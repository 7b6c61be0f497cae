"""What a reader should know of a split: sides that are not as asked, labels that differ, clusters that are large."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from tunesmith.errors import counted
from tunesmith.records.store import RecordStore
from tunesmith.split.assign import Amount
from tunesmith.split.dedup_keys import DedupKeys
from tunesmith.split.sides import Side

_OFF = 0.1
_MOST_LABELS = 100
_DRAWS = 2000
_LEVEL = 0.005
_LARGE = 0.1
_MOST_NAMED = 10
_SIDES = (Side.TRAIN, Side.VALIDATION, Side.TEST)


@dataclass(frozen=True, eq=False)
class Remarks:
    """Looks at the sides that were chosen for the records of `keys`."""

    keys: DedupKeys
    roots: Int[np.ndarray, " record"]
    """Equal for records that belong together."""
    repeats: Mapping[str, int]
    store: RecordStore

    def of(self, sides: Int[np.ndarray, " record"], asked: list[Amount]) -> list[str]:
        """Sentences, none if there is nothing to say."""
        found = [*self._sizes(sides, asked), *self._large(sides)]
        for amount in asked:
            found += self._labels(sides, amount.side)
        return found

    def adjusted(self, records: Int[np.ndarray, " adjusted"]) -> list[str]:
        """Names the records that other records can move to another side, and what keeps them."""
        if not len(records):
            return []
        names = ", ".join(self.store[at].id for at in records[:_MOST_NAMED].tolist())
        more = f" and {len(records) - _MOST_NAMED:,} more" if len(records) > _MOST_NAMED else ""
        return [
            f"{counted(len(records), 'record is', 'records are')} on another side than by hash, so that no side or "
            f"stratum has too many or too few records: {names}{more}. Records that are added or removed can move them. "
            "To keep every record on its side when the data change, set data.split.manifest to this folder"
        ]

    def largest(self) -> str:
        """Why the records of the largest cluster belong together, and what to set if they should not."""
        sizes = np.bincount(self.roots, minlength=1)
        members = np.flatnonzero(self.roots == sizes.argmax())
        advice = {
            "text": "ask the same: set data.split.by to the fields that tell them apart",
            "group": "have one value of data.split.group: set it to a finer field",
            "picture": "show one picture, or pictures that look alike: if these are "
            "different pictures, set data.leaks.pictures to null or higher",
            "near": "have texts that look alike: set data.leaks.near to null or higher, or data.split.by to the fields "
            "that tell them apart",
        }
        return f"They {advice[self._why(members)]}."

    def _why(self, members: Int[np.ndarray, " member"]) -> str:
        """The commonest reason why these records belong together."""
        keys = self.keys
        most = {"text": _commonest(keys.text[members])}
        if keys.group is not None:
            most["group"] = _commonest(keys.group[members])
        if keys.images is not None:
            most["picture"] = int(np.isin(members, keys.images.record).sum()) // 2 + 1
        best = max(most, key=lambda reason: most[reason])
        return best if most[best] * 2 > len(members) or "near" not in self.repeats else "near"

    def _sizes(self, sides: Int[np.ndarray, " record"], asked: list[Amount]) -> list[str]:
        said = []
        for amount in asked:
            got = int((sides == amount.side).sum())
            if abs(got - amount.number) > max(1, _OFF * amount.number):
                by = f"{abs(got / amount.number - 1):.0%} {'more' if got > amount.number else 'fewer'}"
                side = amount.side.word
                said.append(
                    f"{side}: {counted(got, 'record')}, {by} than the {amount.number:,} of {amount.setting}"
                )
        return said

    def _large(self, sides: Int[np.ndarray, " record"]) -> list[str]:
        """A cluster that is a large part of the records is on one side, and the others know nothing like it."""
        kept = sides != Side.DROPPED
        sizes = np.bincount(self.roots[kept], minlength=1)
        if sizes.max() < max(3, _LARGE * kept.sum()):
            return []
        members = np.flatnonzero(kept & (self.roots == sizes.argmax()))
        side = Side(int(sides[members[0]]))
        return [
            f"{counted(len(members), 'record')} of {int(kept.sum()):,} ({self.store[int(members[0])].id}, "
            f"{self.store[int(members[1])].id}, ...) belong together and are all in {side.word}, so that the other "
            f"sides have none like them. {self.largest()}"
        ]

    def _labels(self, sides: Int[np.ndarray, " record"], side: Side) -> list[str]:
        """Whether the labels of a side differ from those of all records by more than chance: a permutation test of the
        chi-squared statistic, labels of strata if there are any, else reference answers if those are few."""
        if self.keys.strata:
            labels, names = self.keys.stratum, dict(enumerate(self.keys.strata))
        else:
            if len(self.keys.answers) > _MOST_LABELS or not (self.keys.answer != 0).all():
                return []
            hashes, labels = np.unique(self.keys.answer, return_inverse=True)
            names = {place: self.keys.answers.get(int(one), "?") for place, one in enumerate(hashes)}
        kept = sides != Side.DROPPED
        whole = np.bincount(labels[kept], minlength=len(names))
        part = np.bincount(labels[sides == side], minlength=len(names))
        if len(names) < 2 or len(names) > _MOST_LABELS or not 0 < part.sum() < whole.sum():
            return []
        expected = whole * (part.sum() / whole.sum())
        present = whole > 0

        draws = np.random.default_rng(0).multivariate_hypergeometric(
            whole, part.sum(), size=_DRAWS, method="marginals"
        )
        drawn = ((draws - expected) ** 2)[:, present] / expected[present]
        own = ((part - expected) ** 2)[present] / expected[present]
        p = (1 + (drawn.sum(axis=1) >= own.sum() - 1e-9).sum()) / (1 + _DRAWS)
        if p > _LEVEL:
            return []
        most = int(np.abs((part - expected) / np.sqrt(np.maximum(expected, 1e-9))).argmax())
        return [
            f"{side.word}: its labels differ from those of all records by more than chance: {names[most]!r} has "
            f"{part[most] / part.sum():.1%} there and {whole[most] / whole.sum():.1%} in all"
        ]


def _commonest(values: np.ndarray) -> int:
    return int(np.unique(values, return_counts=True)[1].max())
