"""How our rows stand beside the best peers of the same run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.speed.engines import ENGINES
from benchmarks.speed.methods import METHODS

Row = dict[str, Any]


def group_of(row: Row) -> tuple[str, str, str]:
    """What rows must share to be compared."""
    return row["workload"], row["method"], row["model"]


def is_peer(row: Row) -> bool:
    """Whether it is one to compare ourselves with."""
    return ENGINES[row["engine"]].is_peer


def best_peers(row: Row, rows: Sequence[Row]) -> dict[str, Row]:
    """The fastest peers in `rows`, by what they are the fastest of: as installed, with flash attention and, for a row
    in little memory, those that stay within the same. Where no peer offers the method, those of another."""
    workload, method, model = group_of(row)
    peers: list[Row] = []
    for of in filter(None, (method, METHODS[method].beside)):
        done = [one for one in rows if "error" not in one and group_of(one) == (workload, of, model)]
        peers = peers or [one for one in done if is_peer(one)]
    kinds: dict[str, Callable[[Row], bool]] = {
        "as installed": lambda one: not ENGINES[one["engine"]].flash,
        "with flash attention": lambda one: ENGINES[one["engine"]].flash,
    }
    if gib := limit_of(row):
        kinds[f"within {gib:.1f} GiB"] = lambda one: (one["peak_gib"] or gib) <= gib
    found = {kind: [one for one in peers if fits(one)] for kind, fits in kinds.items()}
    return {kind: max(those, key=speed) for kind, those in found.items() if those}


def limit_of(row: Row) -> float | None:
    """GiB that peers must make do with as well: those that our row was set for, or what it took while it kept no
    activations; none for a row that may take what there is."""
    settings = ENGINES[row["engine"]]
    if settings.within_gib is None and settings.checkpointing:
        return row["peak_gib"]  # type: ignore[no-any-return]
    return settings.within_gib


def ratios(rows: Sequence[Row], all_rows: Sequence[Row] = ()) -> list[str]:
    """Lines on the rows of a group; its peers may be in another group of `all_rows`."""
    done = [row for row in rows if "error" not in row]
    lines = [line for row in done if not is_peer(row) if (line := _ratio(row, [*rows, *all_rows]))]
    losses = [row["loss"] for row in done if row["loss"] is not None]
    if len(losses) > 1:
        lines.append(f"  first losses differ by {max(losses) / min(losses) - 1:.2%}")
    trained = {row["engine"]: row["trained_weights"] for row in done}
    if len(set(trained.values())) > 1:
        told = ", ".join(f"{engine} {number / 1e6:.2f}" for engine, number in trained.items())
        lines.append(f"  millions of weights trained: {told}")
    return lines


def _ratio(row: Row, rows: Sequence[Row]) -> str:
    best = best_peers(row, rows)
    if not best:
        return ""
    said = []
    for kind, peer in best.items():
        other = "" if peer["method"] == row["method"] else f", {peer['method']}"
        said.append(f"{speed(row) / speed(peer):.2f} x {peer['engine']} ({kind}{other})")
    limit = limit_of(row)
    if limit and row["peak_gib"] and row["peak_gib"] > limit:
        said.append(f"took {row['peak_gib']:.1f} GiB, more than the {limit:.1f} it was set for")
    if limit and not any(kind.startswith("within") for kind in best):
        said.append(f"no peer stays within {limit:.1f} GiB")
    return f"  {row['engine']}: {', '.join(said)}"


def speed(row: Row) -> float:
    """Tokens a second."""
    return float(row["tokens_a_second"])
