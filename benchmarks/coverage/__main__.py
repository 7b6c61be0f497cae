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

from benchmarks.coverage.cells import Cell, cells, run_cell

Row = dict[str, Any]


def measure(chosen: Sequence[Cell], processes: int) -> dict[str, list[Row]]:
    """The rows of each table, in the order of the cells."""
    tables: dict[str, list[Row]] = {}
    began = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for number, (table, rows) in enumerate(pool.imap(run_cell, chosen), 1):
            tables.setdefault(table, []).extend(rows)
            print(f"{number} of {len(chosen)} cells, {time.monotonic() - began:.0f} s: {table}", flush=True)
    return tables


def markdown(tables: dict[str, list[Row]]) -> str:
    """The tables as a page."""
    lines = ["# How often the claims of a report hold", "", "Made by `python -m benchmarks.coverage`.", ""]
    for title, rows in tables.items():
        columns = [name for name in rows[0] if name not in ("below", "above", "sets")]
        lines += [f"## {title}", "", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
        lines += [f"| {' | '.join(_text(row.get(name)) for name in columns)} |" for row in rows]
        lines.append("")
    return "\n".join(lines)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.3f}".rstrip("0").rstrip(".")
    return str(value)


def main() -> None:
    """Read the command line, run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=4000, help="data sets of a cell (slow cells have fewer)")
    parser.add_argument("--only", default="", help="tables whose title holds this text; others stay")
    parser.add_argument("--processes", type=int, default=max(1, (os.cpu_count() or 1) // 2))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    asked = parser.parse_args()
    chosen = [cell for cell in cells(asked.sets) if asked.only.lower() in cell[0].lower()]
    written = asked.out / "tables.json"
    before = json.loads(written.read_text(encoding="utf-8")) if asked.only and written.exists() else {}
    tables = before | measure(chosen, asked.processes)
    text = markdown(tables)
    print(text)
    (asked.out / "tables.md").write_text(text, encoding="utf-8")
    written.write_text(json.dumps(tables, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
