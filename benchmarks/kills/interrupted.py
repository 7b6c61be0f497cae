"""Runs that are killed at random instants and started again, compared with one that was left alone."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.kills.forked import Ended, call, warm_up
from benchmarks.kills.left import differences, left_in
from benchmarks.kills.material import experiment
from benchmarks.kills.parts import Part
from benchmarks.kills.tally import Outcome

VARIANTS = ("plain", "head")
AGAIN = 1 / 3
"""Probability that a run which goes on is killed once more."""


@dataclass(frozen=True)
class Reference:
    """A run that was left alone."""

    left: dict[str, Any]
    cpu: float
    """Seconds of processor time that it took."""


def references(folder: Path) -> dict[str, Reference]:
    """Each variant's run, left alone. Everything later happens in the same folder, so that paths are the same too."""
    file = experiment(folder)
    found = {}
    for variant in VARIANTS:
        ended = undisturbed(folder, file, variant)
        if variant == VARIANTS[0]:
            warm_up(folder / "runs" / "small" / variant)
            ended = undisturbed(folder, file, variant)
        found[variant] = Reference(left_in(folder / "runs"), ended.cpu)
    return found


def undisturbed(folder: Path, file: Path, variant: str) -> Ended:
    shutil.rmtree(folder / "runs", ignore_errors=True)
    ended = call(folder, "run", file, "--variant", variant)
    if ended.kind != "done":
        raise RuntimeError(f"the run that is left alone does not end well:\n{ended.said}")
    return ended


def killed(folder: Path, kills: int, seed: int, part: Part) -> Iterator[Outcome]:
    """What became of one run after another, killed once or several times, until this part of the kills was made."""
    known, chance, made, number = references(folder), random.Random(f"{seed} {part.index}"), 0, part.index
    while made < part.size(kills):
        variant = VARIANTS[number % len(VARIANTS)]
        outcome, own = one_run(folder, variant, known[variant], chance)
        number, made = number + 1, made + own
        yield Outcome("killed" if own else "ended before its instant", outcome[0], outcome[1], own)


def one_run(
    folder: Path, variant: str, reference: Reference, chance: random.Random
) -> tuple[tuple[str, str], int]:
    """What became of a run and why so, and how often it was killed."""
    shutil.rmtree(folder / "runs", ignore_errors=True)
    file, kills, instants = folder / "small.yaml", 0, []
    is_killed = True
    while True:
        instant = chance.uniform(0.01, reference.cpu) if is_killed else None
        ended = call(folder, "run", file, "--variant", variant, kill_at=instant)
        if ended.kind != "killed" or instant is None:
            break
        kills += 1
        instants.append(f"{instant:.3f}")
        is_killed = chance.random() < AGAIN
    if ended.kind != "done":
        return ("wrong", f"{variant}, killed at {' and '.join(instants)} s: {ended.said[-2000:]}"), kills
    odd = differences(reference.left, left_in(folder / "runs"))
    if odd:
        return ("wrong", f"{variant}, killed at {' and '.join(instants)} s: {', '.join(odd)} differ"), kills
    return ("right", ""), kills
