"""Every cell of the tables: what is simulated, and with what."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.coverage import changes, claims, values

Row = dict[str, Any]
_SEED = 20_261_201
_SHARES = (0.02, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.98)
_IN_GROUPS = ((10, 25), (25, 10), (25, 40), (50, 5), (100, 10), (250, 4))
_NUMBERS = (20, 50, 250, 1000)
_SETS_OF_A_PART = {"cheap": 4000, "moderate": 250, "dear": 25}


@dataclass(frozen=True)
class Cell:
    """One row of a table, or a few that are simulated together."""

    table: str
    compute: Callable[..., Row | list[Row]]
    settings: dict[str, Any] = field(default_factory=dict)
    sets: int = 0
    """Number of data sets; 0 if the cell is computed exactly."""
    cost: str = "cheap"
    """`cheap`, `moderate` or `dear`; the dearer, the fewer data sets are a part."""

    def parts(self) -> list[Part]:
        """The cell in parts, each with a seed of its own."""
        number = math.ceil(self.sets / _SETS_OF_A_PART[self.cost]) or 1
        sizes = [len(range(part, self.sets, number)) for part in range(number)]
        return [Part(self, part, size) for part, size in enumerate(sizes)]


@dataclass(frozen=True)
class Part:
    """What one process computes at once."""

    cell: Cell
    number: int
    sets: int

    def rows(self) -> list[Row]:
        """The rows of the cell, each with its number of data sets."""
        simulated = {"sets": self.sets, "seed": _SEED + 1000 * self.number} if self.sets else {}
        computed = self.cell.compute(**self.cell.settings, **simulated)
        rows = computed if isinstance(computed, list) else [computed]
        return [{**row, "data sets": self.sets} if self.sets else row for row in rows]


def run_part(part: tuple[int, Part]) -> tuple[int, list[Row]]:
    """The rows of a part, with the place of its cell."""
    place, of_cell = part
    return place, of_cell.rows()


def merged(parts: Sequence[list[Row]]) -> list[Row]:
    """The rows of a cell from those of its parts: rates are means over data sets.

    >>> merged([[{"n": 20, "covered": 0.9, "data sets": 100}], [{"n": 20, "covered": 1.0, "data sets": 300}]])
    [{'n': 20, 'covered': 0.975, 'data sets': 400}]
    """
    by_name: dict[tuple[Any, ...], list[Row]] = {}
    for rows in parts:
        for row in rows:
            by_name.setdefault(tuple(value for value in row.values() if isinstance(value, str)), []).append(
                row
            )
    return [_mean(rows) for rows in by_name.values()]


def _mean(rows: Sequence[Row]) -> Row:
    if len(rows) == 1:
        return rows[0]
    mean: Row = {}
    for name, first in rows[0].items():
        values = [row[name] for row in rows]
        if name == "data sets":
            mean[name] = sum(values)
        elif not isinstance(first, float):
            mean[name] = first
        else:
            known = [
                (value, row["data sets"])
                for value, row in zip(values, rows, strict=True)
                if not math.isnan(value)
            ]
            total = sum(weight for _, weight in known)
            mean[name] = sum(value * weight for value, weight in known) / total if total else math.nan
    return mean


def cells(sets: int) -> list[Cell]:
    """Every cell. Slow ones have fewer data sets, a quarter at least, which the tables say."""
    return [*_values(sets), *_classes(sets), *_changes(sets), *_families(sets)]


def _values(sets: int) -> Iterator[Cell]:
    for number in (20, 50, 100, 250, 1000):
        for truth in _SHARES:
            yield Cell(
                "Value: share of records, enumerated", values.share, {"number": number, "truth": truth}
            )
    for groups, size in _IN_GROUPS:
        for correlation in (0.0, 0.1, 0.3, 0.6):
            for truth in _SHARES:
                settings = {"groups": groups, "size": size, "correlation": correlation, "truth": truth}
                yield Cell("Value: share, records in groups", values.share_in_groups, settings, sets)
    for number in _NUMBERS:
        for lump, at in ((0.0, 0.0), (0.3, 0.0), (0.9, 0.0), (0.97, 0.0), (0.97, 1.0)):
            yield Cell("Value: mean IoU", values.mean, {"number": number, "lump": lump, "at": at}, sets)
    for groups in (10, 25, 100):
        for correlation in (0.0, 0.3, 0.6):
            in_groups = {"number": groups * 10, "groups": groups, "correlation": correlation}
            yield Cell(
                "Value: mean IoU, records in groups", values.mean, {"lump": 0.3, "at": 0.0, **in_groups}, sets
            )
    for metric, quality in (("bleu", 0.0), ("ap", 0.6), ("ap", 0.95)):
        for number in _NUMBERS:
            settings = {"metric": metric, "number": number, "quality": quality}
            yield Cell("Value: BLEU and AP", values.corpus, settings, sets, "moderate")
    for number in _NUMBERS:
        for positive, apart in ((0.5, 0.5), (0.5, 2.0), (0.1, 1.0), (0.1, 4.0)):
            fewer = sets // 2 if number == 1000 else sets
            settings = {"number": number, "positive": positive, "apart": apart}
            yield Cell("Value: ROC AUC", values.area, settings, fewer, "moderate")
    for number in (20, 50, 250):
        yield Cell("Value: median IoU", values.median, {"number": number, "lump": 0.3}, sets, "moderate")


def _classes(sets: int) -> Iterator[Cell]:
    for labels, number, accuracy, skew, groups in (
        (4, 20, 0.75, 0.0, 0),
        (4, 50, 0.8, 1.0, 0),
        (4, 50, 0.95, 0.0, 0),
        (4, 250, 0.8, 1.0, 0),
        (4, 250, 0.97, 0.0, 0),
        (4, 1000, 0.8, 1.0, 0),
        (4, 250, 0.8, 0.0, 25),
        (4, 1000, 0.8, 0.0, 100),
        (30, 250, 0.75, 1.0, 0),
        (30, 250, 0.92, 1.0, 0),
        (30, 250, 0.8, 0.0, 0),
        (30, 1000, 0.8, 1.0, 0),
        (30, 1000, 0.8, 0.0, 250),
    ):
        settings = {
            "labels": labels,
            "number": number,
            "accuracy": accuracy,
            "skew": skew,
            "groups": groups,
        }
        yield Cell("Value: classes", values.classes, settings, sets, "moderate" if labels == 4 else "dear")


def _changes(sets: int) -> Iterator[Cell]:
    for number in (20, 50, 250):
        for discordance in (0.02, 0.1, 0.3):
            settings = {"number": number, "discordance": discordance}
            yield Cell(
                "Change: McNemar's mid-p where nothing changed, enumerated", claims.size_of_the_test, settings
            )
    for number in _NUMBERS:
        for shares in ((0.8, 0.8), (0.95, 0.95), (0.7, 0.8), (0.9, 0.95)):
            settings = {"number": number, "shares": shares, "kept": 0.6}
            yield Cell("Change: share of records", claims.change_of_records, settings, sets)
    for groups, size in ((10, 25), (25, 10), (100, 10)):
        for correlation in (0.0, 0.3, 0.6):
            for shares in ((0.75, 0.75), (0.7, 0.8)):
                settings = {"groups": groups, "size": size, "shares": shares, "correlation": correlation}
                yield Cell("Change: share, records in groups", claims.change_in_groups, settings, sets)
    yield from _changes_of_means(sets)
    for metric, gains in (("bleu", (0.0, 0.04)), ("ap", (0.0, 0.1))):
        for gain in gains:
            for number in _NUMBERS:
                settings = {"metric": metric, "number": number, "gain": gain}
                yield Cell("Change: BLEU and AP", changes.corpus, settings, sets, "moderate")
    for number in _NUMBERS:
        for positive, apart in ((0.5, (1.0, 1.0)), (0.1, (1.0, 1.0)), (0.1, (4.0, 4.0)), (0.5, (1.0, 1.5))):
            fewer = sets // 4 if number == 1000 else sets // 2
            settings = {"number": number, "positive": positive, "apart": apart}
            yield Cell("Change: ROC AUC", changes.area, settings, fewer, "dear")
    for labels, number, skew, more in (
        (4, 50, 1.0, {}),
        (4, 250, 0.0, {}),
        (4, 250, 0.0, {"fall": 0.2}),
        (4, 250, 0.0, {"groups": 25}),
        (4, 1000, 0.0, {"groups": 100}),
        (30, 250, 1.0, {}),
        (30, 1000, 0.0, {"fall": 0.4}),
    ):
        settings = {"labels": labels, "number": number, "accuracy": 0.8, "skew": skew, **more}
        fewer = sets // 2 if labels == 4 else sets // 4
        yield Cell("Change: classes", changes.classes, settings, fewer, "dear")


def _changes_of_means(sets: int) -> Iterator[Cell]:
    iou, gained, narrow = (0.3, 0.0, 8.0, 2.0), (0.2, 0.0, 8.0, 2.0), (0.0, 0.0, 5.6, 4.4)
    f1, better = (0.25, 0.4, 3.0, 2.0), (0.2, 0.47, 3.0, 2.0)
    rare, most = (0.95, 0.0, 8.0, 2.0), (0.0, 0.95, 3.0, 2.0)
    pairs = (
        ("iou", iou, iou),
        ("iou", iou, narrow),
        ("iou", iou, gained),
        ("iou", rare, rare),
        ("token_f1", f1, f1),
        ("token_f1", f1, better),
        ("token_f1", most, most),
    )
    in_groups = [(groups, 10, correlation) for groups in (10, 25, 100) for correlation in (0.0, 0.3, 0.6)]
    for metric, first, second in pairs:
        for groups, size, correlation in [*((number, 1, 0.0) for number in _NUMBERS), *in_groups]:
            if size > 1 and metric == "iou" and second is not iou:
                continue
            settings = {"metric": metric, "first": first, "second": second}
            settings |= {"groups": groups, "size": size, "correlation": correlation}
            yield Cell("Change: mean", changes.means, settings, sets, "moderate")


def _families(sets: int) -> Iterator[Cell]:
    for labels, number, skew, more in (
        (4, 250, 0.0, {}),
        (4, 250, 0.0, {"groups": 25}),
        (4, 250, 0.0, {"fall": 0.2}),
        (30, 250, 1.0, {}),
        (30, 1000, 0.0, {}),
        (30, 1000, 1.0, {}),
        (30, 1000, 0.0, {"groups": 250}),
        (30, 1000, 0.0, {"fall": 0.4}),
    ):
        settings = {"labels": labels, "number": number, "accuracy": 0.8, "skew": skew, **more}
        fewer = sets // 2 if labels == 4 else sets // 4
        yield Cell("Family: metrics and classes", claims.classes, settings, fewer, "dear")
    for groups, size, number_fallen, to in (
        (20, 20, 0, 0.8),
        (20, 50, 0, 0.8),
        (50, 20, 0, 0.8),
        (20, 50, 2, 0.55),
    ):
        settings = {"groups": groups, "size": size, "share": 0.8, "fallen": number_fallen, "to": to}
        yield Cell("Family: groups of a field", claims.groups_of_a_field, settings, sets // 2, "dear")
    for number in (50, 250):
        for spread in (0.0, 0.05):
            settings = {"number": number, "models": 10, "spread": spread}
            yield Cell("Family: pairs of runs", claims.runs, settings, sets // 2, "dear")
