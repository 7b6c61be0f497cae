"""Runs every engine on every workload, prints a table as it goes, and writes it down."""

from __future__ import annotations

import argparse
import math
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.speed import compare, shapes, table
from benchmarks.speed.compare import Row
from benchmarks.speed.engines import ENGINES
from benchmarks.speed.goals import GOALS, Group, Key, group
from benchmarks.speed.methods import METHODS
from benchmarks.speed.process import Ahead
from benchmarks.speed.runs import LeftOutError, Runs
from benchmarks.speed.workloads import WORKLOADS, of


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    """The rows of the table, printed and written down as they come."""
    began = time.time()
    asked = _asked(arguments)
    machine = _machine(asked)
    groups = GOALS if asked.goals else _groups(asked)
    keys = [key for one in groups for key in one.keys]
    with tempfile.TemporaryDirectory(prefix="speed-") as place:
        rows = _earlier(asked, machine)
        print(
            f"{machine['device']}; {machine['date']}; random weights; tokens are real ones, without padding"
        )
        log = (asked.out or Path(place)) / "logs.txt"
        if not rows:
            log.write_text("")
        with Ahead([key[0] for key in keys if key not in rows], Path(place)) as ahead:
            runs = Runs(asked, Path(place), log, ahead, began + asked.seconds)
            for line in _lines(groups, rows, runs):
                print(line, flush=True)
                if asked.out:
                    table.write(asked.out, machine, _in_order(rows, keys))
        done = _in_order(rows, keys)
        print(table.versions(done))
        if asked.out:
            print(table.plot(asked.out, machine, done))
    return done


def _lines(groups: Iterable[Group], rows: dict[Key, Row], runs: Runs) -> Iterator[str]:
    """What is printed; every row that was measured is put among the others."""
    for one in groups:
        work = of(one.workload, runs.asked.small)
        yield (
            f"\n{one.workload}, {one.method}, {one.model}: {work.tokens:,} tokens, {work.samples} samples an update\n"
            + table.HEADER
        )
        for key in one.keys:
            try:
                earlier = " (earlier)" if key in rows else ""
                if not earlier:
                    rows[key] = runs.row(key)
                yield table.line(rows[key]) + earlier
            except LeftOutError as reason:
                yield f"{key[0]:<28}{reason}"
        yield from compare.ratios([rows[key] for key in one.keys if key in rows], list(rows.values()))


def _in_order(rows: Mapping[Key, Row], keys: Sequence[Key]) -> list[Row]:
    """Rows in the order in which they were asked for, then those of earlier runs that nobody asked for now."""
    return [rows[key] for key in dict.fromkeys([*keys, *rows]) if key in rows]


def _earlier(asked: argparse.Namespace, machine: Row) -> dict[Key, Row]:
    """The rows that are to be kept: all but those of engines that were not installed."""
    if not asked.go_on or not (asked.out / "speed.json").is_file():
        return {}
    told = table.read(asked.out / "speed.json")
    here, there = ([of[name] for name in ("device", "torch", "small")] for of in (machine, told["machine"]))
    if here != there:
        raise SystemExit(
            f"--continue: the rows in {asked.out} are of {there}, this is {here} (device, torch, toys); figures of two "
            "machines make no table. Name another folder"
        )
    kept = [row for row in told["rows"] if not row.get("error", "").startswith("not installed")]
    return {(row["engine"], row["workload"], row["method"], row["model"]): row for row in kept}


def _has_gpu() -> bool:
    # Imported where it is asked, so that printing the help does not wait for it.
    import torch

    return torch.cuda.is_available()


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    add = parser.add_argument
    add("--engines", nargs="*", default=list(ENGINES), metavar="ENGINE", help=", ".join(ENGINES))
    add("--workloads", nargs="*", default=["short-text"], choices=list(WORKLOADS))
    add("--methods", nargs="*", default=["lora"], choices=list(METHODS))
    add("--models", nargs="*", default=["qwen2.5-7b"], choices=list(shapes.MODELS), help="for text")
    add("--updates", type=int, default=10, help="timed updates")
    add("--warmup", type=int, default=3, help="updates before those")
    add("--limit", type=float, default=120, help="seconds an engine may take in all")
    add("--goals", action="store_true", help="all of README's table, whatever else is named")
    add("--seconds", type=float, default=math.inf, help="stay within these, whatever must be left out")
    add("--continue", action="store_true", dest="go_on", help="keep the rows that --out has already")
    add("--out", type=Path, help="folder for speed.json, a plot and logs.txt")
    add("--small", action="store_true", help="toys, on any machine, in seconds")
    asked = parser.parse_args(arguments)
    if asked.updates < 1 or asked.warmup < 0:
        parser.error("--updates must be at least 1, --warmup at least 0")
    if asked.go_on and not asked.out:
        parser.error("--continue needs --out, the folder that has the rows")
    if not asked.small and not _has_gpu():
        parser.error("the real shapes need a GPU, and PyTorch finds none; --small runs toys on any machine")
    if asked.out:
        try:
            asked.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            parser.error(f"--out: {asked.out} cannot be made ({error.strerror}); name another folder")
    unknown = [name for name in asked.engines if name not in ENGINES]
    if unknown:
        # A bare family of engines stands for all of its settings.
        named = [
            [engine for engine, one in ENGINES.items() if name in (engine, one.file, f"{one.file}*")]
            for name in asked.engines
        ]
        lacking = [name for name, found in zip(asked.engines, named, strict=True) if not found]
        if lacking:
            parser.error(f"--engines: {', '.join(lacking)}: there is no such engine ({', '.join(ENGINES)})")
        asked.engines = list(dict.fromkeys(engine for found in named for engine in found))
    return asked


def _groups(asked: argparse.Namespace) -> list[Group]:
    """Every workload with every method, model and engine."""
    engines = " ".join(asked.engines)
    every = product(asked.workloads, asked.methods, asked.models)
    return list(dict.fromkeys(group(workload, method, engines, model) for workload, method, model in every))


def _machine(asked: argparse.Namespace) -> dict[str, Any]:
    import torch

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return {
        "device": name,
        "date": time.strftime("%Y-%m-%d"),
        "torch": torch.__version__,
        "python": sys.version.split()[0],
        "small": asked.small,
        "command": ["python", "-m", "benchmarks.speed", *sys.argv[1:]],
    }


def _stop(*_: object) -> None:
    raise SystemExit("stopped")


if __name__ == "__main__":
    # So that processes that were started end too.
    signal.signal(signal.SIGTERM, _stop)
    main()
