"""The rows of a `speed.json` as tables for a page: `python -m benchmarks.speed.markdown speed/speed.json`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.speed.compare import Row, best_peers, group_of, is_peer, speed
from benchmarks.speed.table import versions

COLUMNS = ("as installed", "with flash attention")


def pages(machine: Row, rows: Sequence[Row]) -> Iterator[str]:
    """Lines: where and when, and a table for each workload, method and model."""
    command = " ".join(machine["command"])
    yield f"{machine['date']}, one {machine['device']}, `{command}`; {versions(rows)}."
    for group in dict.fromkeys(map(group_of, rows)):
        members = [row for row in rows if group_of(row) == group]
        rate = "samples a second" if any(row.get("patches") for row in members) else "tokens a second"
        head = (
            ", ".join(group),
            rate,
            "peak GiB",
            "of matrix rate",
            *(f"over the best peer {c}" for c in COLUMNS),
        )
        yield ""
        yield _cells(head)
        yield "|---" * len(head) + "|"
        yield from (_cells(_row(row, rows, rate)) for row in members)


def _row(row: Row, rows: Sequence[Row], rate: str) -> list[str]:
    if "error" in row:
        return [row["engine"], row["error"].replace("|", "/")[:120], *[""] * (2 + len(COLUMNS))]
    fast = f"{row['samples_a_second']:.1f}" if rate.startswith("samples") else f"{speed(row):,.0f}"
    if not row["enough"]:
        fast += f" ({len(row['seconds'])} updates timed)"
    peak = "" if row["peak_gib"] is None else f"{row['peak_gib']:.1f}"
    share = "" if row["utilisation"] is None else f"{row['utilisation']:.0%}"
    best = {} if is_peer(row) else best_peers(row, rows)
    told = {kind: f"{speed(row) / speed(peer):.2f} ({peer['engine']})" for kind, peer in best.items()}
    within = [f"{ratio} {kind}" for kind, ratio in told.items() if kind not in COLUMNS]
    ratios = [told.get(kind, "") for kind in COLUMNS]
    ratios[-1] = "; ".join(filter(None, [ratios[-1], *within]))
    return [row["engine"], fast, peak, share, *ratios]


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.markdown", description=__doc__)
    parser.add_argument("file", type=Path)
    told = json.loads(parser.parse_args().file.read_text())
    print("\n".join(pages(told["machine"], told["rows"])))


if __name__ == "__main__":
    main()
