"""`python -m benchmarks.coverage`: simulate all cells, print the tables, and write them beside this file."""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.coverage.cells import Cell, cells, merged, run_part

Row = dict[str, Any]
_GOAL = (0.93, 0.97)
_MOST_FALSE = 0.057


def measure(chosen: Sequence[Cell], processes: int, seconds: float = math.inf) -> dict[str, list[Row]]:
    """The rows of each table, in the order of the cells; of what was computed when the time is over."""
    parts = [(place, part) for place, cell in enumerate(chosen) for part in cell.parts()]
    # The first part of every cell, then the second, ..., so that all cells have come equally far if time is over.
    parts.sort(key=lambda part: part[1].number)
    computed: list[list[list[Row]]] = [[] for _ in chosen]
    began = last = time.monotonic()
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        results = pool.imap_unordered(run_part, parts)
        for number in range(1, len(parts) + 1):
            try:
                place, rows = results.next(_left(began, seconds))
            except multiprocessing.TimeoutError:
                print(f"stopped after {seconds:.0f} s: {number - 1} of {len(parts)} parts", flush=True)
                break
            computed[place].append(rows)
            if time.monotonic() - last > 20 or number == len(parts):
                last = time.monotonic()
                print(f"{number} of {len(parts)} parts, {last - began:.0f} s", flush=True)
    tables: dict[str, list[Row]] = {}
    for cell, rows in zip(chosen, computed, strict=True):
        tables.setdefault(cell.table, []).extend(merged(rows))
    return {title: rows for title, rows in tables.items() if rows}


def _left(began: float, seconds: float) -> float | None:
    """Seconds that are left; None without a limit."""
    return None if math.isinf(seconds) else max(0.0, began + seconds - time.monotonic())


def markdown(tables: dict[str, list[Row]]) -> str:
    """The tables as a page."""
    lines = ["# How often the claims of a report hold", "", "Made by `python -m benchmarks.coverage`.", ""]
    for title, rows in tables.items():
        columns = list(rows[0])
        lines += [f"## {title}", "", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
        lines += [f"| {' | '.join(_text(row.get(name)) for name in columns)} |" for row in rows]
        lines.append("")
    return "\n".join(lines)


def outside(tables: dict[str, list[Row]]) -> list[str]:
    """The rows whose coverage is outside 93 to 97 %, or which claim a change too often where nothing changed."""
    lines = []
    for title, rows in tables.items():
        for row in rows:
            covered = row.get(
                "covered nearby", row.get("covered where reported", row.get("covered", math.nan))
            )
            is_null = row.get("change") == 0 or len(set(str(row.get("shares", "0 to 1")).split(" to "))) == 1
            claimed = row.get("better or worse", math.nan) if is_null else math.nan
            if covered < _GOAL[0] or covered > _GOAL[1] or claimed > _MOST_FALSE:
                lines.append(
                    f"{title}: " + ", ".join(f"{name} {_text(value)}" for name, value in row.items())
                )
    return lines


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.3f}".rstrip("0").rstrip(".")
    return str(value)


def main() -> None:
    """Read the command line, run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=4000, help="data sets of a cell (slow cells have fewer)")
    parser.add_argument(
        "--only", default="", help="tables whose titles hold one of these texts, separated by |"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop then, with what was computed")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    asked = parser.parse_args()
    texts = asked.only.lower().split("|")
    chosen = [cell for cell in cells(asked.sets) if any(text in cell.table.lower() for text in texts)]
    written = asked.out / "tables.json"
    before = json.loads(written.read_text(encoding="utf-8")) if asked.only and written.exists() else {}
    measured = measure(chosen, asked.processes, asked.seconds)
    order = {cell.table: None for cell in cells(asked.sets)}
    tables = {title: (before | measured)[title] for title in order if title in before | measured}
    (asked.out / "tables.md").write_text(markdown(tables), encoding="utf-8")
    written.write_text(json.dumps(tables, indent=1) + "\n", encoding="utf-8")
    print(markdown(measured))
    print("Outside 93 to 97 %, or false claims in more than 5.7 %:", *outside(measured), sep="\n")


if __name__ == "__main__":
    main()
