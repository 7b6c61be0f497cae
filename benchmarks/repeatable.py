"""What repeatable kernels cost, and whether two runs then end with the same bits.

    python benchmarks/repeatable.py EXPERIMENT [OVERRIDES ...]

Trains the experiment's first stage four times, twice with repeatable kernels and twice without, and prints for each
the median tokens a second and the hash of what it left.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tunesmith import load_experiment
from tunesmith.files import read_json
from tunesmith.pipeline import training
from tunesmith.pipeline.seeds import be_repeatable
from tunesmith.pipeline.steps import Steps


def train_once(path: Path, overrides: list[str], repeatable: bool, output: Path) -> tuple[float, str]:
    """Median tokens a second after the first ten updates, and the hash of the result."""
    training.be_repeatable = lambda: be_repeatable(repeatable)
    steps = Steps(load_experiment(path, [*overrides, f"output={output}"]), path.parent, say=lambda text: None)
    trained = training.train(steps, Console(quiet=True))
    events = [json.loads(line) for line in steps.folder.log.read_text().splitlines()]
    speeds = [event["tokens"] / event["seconds"] for event in events if event["event"] == "update"][10:]
    return statistics.median(speeds), read_json(trained.result / "done.json")["sha256"]


def main() -> None:
    path, overrides = Path(sys.argv[1]), sys.argv[2:]
    print(f"{'kernels':>12} {'run':>4} {'tokens/s':>9}  result")
    with tempfile.TemporaryDirectory() as folder:
        for repeatable in (True, False):
            for number in (1, 2):
                name = "repeatable" if repeatable else "any"
                speed, result = train_once(path, overrides, repeatable, Path(folder) / f"{name}-{number}")
                print(f"{name:>12} {number:>4} {speed:>9,.0f}  {result[:16]}")


main()
