"""The rows of a `speed.json` as tables for a page: `python -m benchmarks.speed.markdown speed/speed.json`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.speed.compare import Row, best_peers, group_of, is_peer, speed
from benchmarks.speed.table import read, versions

KINDS = ("as installed", "with flash attention")


def pages(machine: Row, rows: Sequence[Row]) -> Iterator[str]:
    """Lines: where and when, and a table for each workload, method and model."""
    command = " ".join(machine["command"])
    yield f"{machine['date']}, one {machine['device']}, `{command}`; {versions(rows)}."
    for group in dict.fromkeys(map(group_of, rows)):
        members = [row for row in rows if group_of(row) == group]
        rate = "samples a second" if any(row.get("patches") for row in members) else "tokens a second"
        ratios = [_ratios(row, rows) for row in members]
        kinds = [
            *KINDS,
            *(["within the same memory"] if any(len(one) > len(KINDS) for one in ratios) else []),
        ]
        head = [
            ", ".join(group),
            rate,
            "peak GiB",
            "of matrix rate",
            *(f"over the best peer {kind}" for kind in kinds),
        ]
        yield ""
        yield _cells(head)
        yield "|---" * len(head) + "|"
        for row, told in zip(members, ratios, strict=True):
            cells = [*_figures(row, rate), *told]
            yield _cells([*cells, *[""] * (len(head) - len(cells))])


def _figures(row: Row, rate: str) -> list[str]:
    if "error" in row:
        return [row["engine"], row["error"].replace("|", "/")[:120], "", ""]
    fast = f"{row['samples_a_second']:.1f}" if rate.startswith("samples") else f"{speed(row):,.0f}"
    if not row["enough"]:
        fast += f" ({len(row['seconds'])} updates timed)"
    peak = "" if row["peak_gib"] is None else f"{row['peak_gib']:.1f}"
    return [row["engine"], fast, peak, "" if row["utilisation"] is None else f"{row['utilisation']:.0%}"]


def _ratios(row: Row, rows: Sequence[Row]) -> list[str]:
    """Over the best peers of `KINDS`, and of those within the row's memory if it is limited and there is one."""
    if "error" in row or is_peer(row):
        return []
    best = best_peers(row, rows)
    told = {kind: f"{speed(row) / speed(peer):.2f} ({peer['engine']})" for kind, peer in best.items()}
    within = [f"{ratio}, {kind.removeprefix('within ')}" for kind, ratio in told.items() if kind not in KINDS]
    return [*(told.get(kind, "") for kind in KINDS), *within]


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.markdown", description=__doc__)
    parser.add_argument("file", type=Path)
    told = read(parser.parse_args().file)
    print("\n".join(pages(told["machine"], told["rows"])))


if __name__ == "__main__":
    main()
