"""Every cell of the tables: what is simulated, and with what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.coverage import claims, values

Row = dict[str, Any]
Cell = tuple[str, Callable[..., Row | list[Row]], dict[str, Any]]
_SEED = 20_261_201
_SHARES = (0.02, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.98)
_IN_GROUPS = ((10, 25), (25, 10), (25, 40), (50, 5), (100, 10), (250, 4))


def cells(sets: int) -> list[Cell]:
    """Every cell: its table, what computes it, and with what. Slow ones have fewer data sets, which the table says."""
    found: list[Cell] = [
        ("Share of records, enumerated", values.share, {"number": number, "truth": truth})
        for number in (20, 50, 100, 250, 1000)
        for truth in _SHARES
    ]
    found += [
        (
            "Share, records in groups",
            values.share_in_groups,
            {"groups": groups, "size": size, "correlation": correlation, "truth": truth, "sets": sets},
        )
        for groups, size in _IN_GROUPS
        for correlation in (0.0, 0.1, 0.3, 0.6)
        for truth in _SHARES
    ]
    found += [
        ("Mean IoU", values.mean, {"number": number, "lump": lump, "at": at, "sets": sets})
        for number in (20, 50, 250, 1000)
        for lump, at in ((0.0, 0.0), (0.3, 0.0), (0.9, 0.0), (0.97, 0.0), (0.97, 1.0))
    ]
    found += [
        (
            "Mean IoU, records in groups",
            values.mean,
            {
                "number": groups * 10,
                "lump": 0.3,
                "at": 0.0,
                "sets": sets,
                "groups": groups,
                "correlation": correlation,
            },
        )
        for groups in (10, 25, 100)
        for correlation in (0.0, 0.3, 0.6)
    ]
    found += [
        (
            "Classes",
            values.classes,
            {"labels": labels, "number": number, "accuracy": accuracy, "skew": skew, "sets": fewer},
        )
        for labels, number, accuracy, skew, fewer in (
            (4, 20, 0.75, 0.0, sets),
            (4, 50, 0.8, 1.0, sets),
            (4, 50, 0.95, 0.0, sets),
            (4, 250, 0.8, 1.0, sets),
            (4, 250, 0.97, 0.0, sets),
            (30, 250, 0.75, 1.0, sets // 4),
            (30, 250, 0.92, 1.0, sets // 4),
            (30, 250, 0.8, 0.0, sets // 4),
            (30, 1000, 0.8, 1.0, sets // 4),
        )
    ]
    found += [
        ("BLEU and AP", values.corpus, {"metric": metric, "number": number, "sets": sets, "quality": quality})
        for metric, quality in (("bleu", 0.0), ("ap", 0.6), ("ap", 0.95))
        for number in (20, 50, 250, 1000)
    ]
    found += [
        ("Median IoU", values.median, {"number": number, "lump": 0.3, "sets": sets})
        for number in (20, 50, 250)
    ]
    return found + _claims(sets)


def _claims(sets: int) -> list[Cell]:
    found: list[Cell] = [
        (
            "McNemar's mid-p where nothing changed, enumerated",
            claims.size_of_the_test,
            {"number": n, "discordance": d},
        )
        for n in (20, 50, 250)
        for d in (0.02, 0.1, 0.3)
    ]
    found += [
        (
            "Change of a share",
            claims.change_of_records,
            {"number": number, "shares": shares, "kept": 0.6, "sets": sets},
        )
        for number in (20, 50, 250, 1000)
        for shares in ((0.8, 0.8), (0.95, 0.95), (0.7, 0.8), (0.9, 0.95))
    ]
    found += [
        (
            "Change of a share, records in groups",
            claims.change_in_groups,
            {"groups": groups, "size": size, "shares": shares, "correlation": correlation, "sets": sets},
        )
        for groups, size in ((10, 25), (25, 10), (100, 10))
        for correlation in (0.0, 0.3, 0.6)
        for shares in ((0.75, 0.75), (0.7, 0.8))
    ]
    found += [
        (
            "Families of a report",
            claims.classes,
            {"labels": labels, "number": number, "accuracy": 0.8, "skew": skew, "sets": fewer, **more},
        )
        for labels, number, skew, fewer, more in (
            (4, 250, 0.0, sets // 4, {}),
            (4, 250, 0.0, sets // 4, {"groups": 25}),
            (4, 250, 0.0, sets // 4, {"fall": 0.2}),
            (30, 250, 1.0, sets // 20, {}),
            (30, 1000, 0.0, sets // 20, {}),
            (30, 1000, 0.0, sets // 20, {"fall": 0.4}),
        )
    ]
    found += [
        (
            "Groups of a field",
            claims.groups_of_a_field,
            {"groups": groups, "size": size, "share": 0.8, "fallen": fallen, "to": to, "sets": sets // 10},
        )
        for groups, size, fallen, to in (
            (20, 20, 0, 0.8),
            (20, 50, 0, 0.8),
            (50, 20, 0, 0.8),
            (20, 50, 2, 0.55),
        )
    ]
    found += [
        ("Many runs", claims.runs, {"number": number, "models": 10, "spread": spread, "sets": sets // 10})
        for number in (50, 250)
        for spread in (0.0, 0.05)
    ]
    return found


def run_cell(cell: Cell) -> tuple[str, list[Row]]:
    table, compute, settings = cell
    if "sets" in settings:
        settings = {**settings, "sets": max(settings["sets"], 20), "seed": _SEED}
    found = compute(**settings)
    rows = found if isinstance(found, list) else [found]
    return table, [{**row, "data sets": settings["sets"]} if "sets" in settings else row for row in rows]
