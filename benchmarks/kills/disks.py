"""Runs on file systems that are full after so many bytes, and the same runs once there is room."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.kills.forked import Ended, call
from benchmarks.kills.interrupted import VARIANTS, Reference, references
from benchmarks.kills.left import differences, left_in
from benchmarks.kills.parts import Part
from benchmarks.kills.tally import Outcome

FULL = 5
"""Exit code of a full disk."""
PAGE = 4096
ROOM = "64m"


def starved(folder: Path, number: int, seed: int, part: Part) -> Iterator[Outcome]:
    """What became of runs on this part of so many sizes of a disk, from two pages to what a run needs, and of the same
    runs when they were called again after room was made. `seed` is not needed: the sizes are evenly spread."""
    known = references(folder)
    needed = sum(file.stat().st_size + PAGE for file in (folder / "runs").rglob("*"))
    runs = folder / "runs"
    for index in range(part.index, number, part.count):
        variant = VARIANTS[index % len(VARIANTS)]
        size = PAGE * (2 + index * needed // (number * PAGE))
        subprocess.run(["rm", "-rf", runs], check=True)
        runs.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", runs], check=True)
        try:
            yield from _one_size(folder, variant, known[variant], size)
        finally:
            subprocess.run(["umount", "-l", runs], check=True)


def _one_size(folder: Path, variant: str, reference: Reference, size: int) -> Iterator[Outcome]:
    file, runs = folder / "small.yaml", folder / "runs"
    full = call(folder, "run", file, "--variant", variant)
    yield Outcome("on a disk that becomes full", *_came(full, reference, runs, f"{variant}, {size} bytes"))
    subprocess.run(["mount", "-o", f"remount,size={ROOM}", runs], check=True)
    again = call(folder, "run", file, "--variant", variant)
    came = _came(again, reference, runs, f"{variant}, {size} bytes, again")
    yield Outcome("again after room was made", came[0] if came[0] == "right" else "wrong", came[1])


def _came(ended: Ended, reference: Reference, runs: Path, which: str) -> tuple[str, str]:
    if ended.kind == "done":
        odd = differences(reference.left, left_in(runs))
        return ("wrong", f"{which}: {', '.join(odd)} differ") if odd else ("right", "")
    if ended.code == FULL and not ended.has_traceback:
        return "clear error", ended.said[-300:]
    return "wrong", f"{which}: exit code {ended.code}: {ended.said[-2000:]}"
