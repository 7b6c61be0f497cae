"""Prints and writes, for every kind of duplicate, the share that is found, and for every kind of unrelated record the
share that is taken for a duplicate.

    python -m benchmarks.duplicates text                     # 20,000 unrelated texts, 200 pairs of each kind
    python -m benchmarks.duplicates pictures
    python -m benchmarks.duplicates text --records 2000 --pairs 50 --out duplicates
    python -m benchmarks.duplicates text --time 120000       # seconds and memory of `prepare`
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

KINDS = ("text", "pictures")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.duplicates",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=KINDS)
    parser.add_argument("--records", type=int, default=20_000, help="unrelated records in all")
    parser.add_argument("--pairs", type=int, default=200, help="pairs of each kind")
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--time", type=int, help="only time `prepare` on so many records (text)")
    parser.add_argument("--out", type=Path, help="folder for the table")
    given = parser.parse_args()
    measured = importlib.import_module(f"benchmarks.duplicates.{given.what}")
    table = (
        measured.time_table(given.time)
        if given.time
        else measured.table(given.records, given.pairs, given.seed)
    )
    print(table)
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / f"{given.what}.md").write_text(table + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
