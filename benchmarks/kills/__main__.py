"""Small experiments are killed, starved of disk and damaged, and inputs are mutated: is anything wrong in silence?

    python -m benchmarks.kills [kills|disks|damage|fuzz] [--number N] [--seed 1] [--processes 1] [--minutes 600]

`kills` (1,000 by default): a run of three stages, with evaluations in training, in one of two variants with a head, is
killed by SIGKILL at random instants and started again until it ends; every file is compared with those of a run that
was left alone: weights, tables and rows by their bytes, scores and notes by their values without times. `disks`: the
same runs on file systems that are full after so many bytes (needs the right to mount), and again once there is room.
`damage`: each file of a finished and of an unfinished run has a bit flipped, is cut to half or emptied; then the run
goes on, predicts, is merged, is reported. `fuzz`: rows, pictures, experiment files and model folders, mutated.

Prints a table of what was tried, right, a clear error (a message and its exit code) or wrong (another result in
silence, a traceback, a crash, no end), and ends with 1 if anything was wrong. Commands run in forks of one process that
has imported everything. With `--processes`, the campaign is divided over that many processes, each with a folder of its
own in `--folder`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from benchmarks.kills.damage import damaged
from benchmarks.kills.disks import starved
from benchmarks.kills.forked import preload
from benchmarks.kills.fuzz import mutated
from benchmarks.kills.interrupted import killed
from benchmarks.kills.parts import Part, in_processes
from benchmarks.kills.tally import tallied, write_log

LOG = "outcomes.jsonl"
CAMPAIGNS = {
    "kills": (killed, 1000),
    "disks": (starved, 60),
    "damage": (damaged, 600),
    "fuzz": (mutated, 10_000),
}


def main() -> int:
    """Run a campaign and print its table; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("campaign", nargs="?", default="kills", choices=CAMPAIGNS)
    parser.add_argument("--number", type=int, help="how many kills, sizes of disks, damages or inputs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=600, help="stop after so many, with what was tried")
    parser.add_argument("--processes", type=int, default=1, help="over how many processes it is divided")
    parser.add_argument("--folder", type=Path, help="where to work; by default a temporary folder")
    asked = parser.parse_args()
    run, number = CAMPAIGNS[asked.campaign]
    preload()
    with tempfile.TemporaryDirectory(prefix="tunesmith-kills-") as temporary:
        folder = asked.folder or Path(temporary)

        def share(part: Part) -> None:
            own = folder / str(part.index)
            own.mkdir(parents=True, exist_ok=True)
            write_log(run(own, asked.number or number, asked.seed, part), own / LOG, asked.minutes)

        parts = [Part(index, asked.processes) for index in range(asked.processes)]
        in_processes(parts, share)
        tally = tallied(folder / str(part.index) / LOG for part in parts)
    print(tally.table())
    if tally.kills:
        print(f"\n{tally.kills:,} kills")
    for outcome in tally.wrong:
        print(f"\nwrong: {outcome.what}: {outcome.why}")
    return bool(tally.wrong)


if __name__ == "__main__":
    sys.exit(main())
