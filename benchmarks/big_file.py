"""Times `tunesmith prepare` on one large file, with the memory and the disk that it takes at its peak.

    python benchmarks/big_file.py                       # 5 GB of JSON Lines, then 5 GB of CSV
    python benchmarks/big_file.py --gb 1 --kind jsonl

The command is a process of its own. Its peak memory is told twice: its own, and with the pages of files that are
mapped into it, which the system takes back when it needs them.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

LABELS = ("World", "Sports", "Business", "Science")
COLUMNS = (
    "kind",
    "GB",
    "rows",
    "seconds",
    "CPU seconds",
    "MB/s",
    "own GiB",
    "with mapped GiB",
    "disk GB",
    "sides",
)
EXPERIMENT = """
name: big
model: {{path: none}}
data: {{source: {{kind: {kind}, path: big.{kind}}}, split: {{stratify: label}}, leaks: {{action: drop}}}}
task: {{kind: classify, labels: [{labels}], prompt: "Which desk is this text for?\\n{{text}}"}}
stages: [{{parts: {{language: lora}}}}]
output: {output}
"""


def sentences(count: int) -> list[str]:
    """Sentences of 6 to 24 Zipf-distributed words."""
    chance = random.Random(7)
    syllables = ["".join(pair) for pair in itertools.product("bdfgklmnprstvz", "aeiou")]
    made = (map("".join, itertools.product(syllables, repeat=number)) for number in (1, 2, 3))
    words = list(itertools.islice(itertools.chain.from_iterable(made), 40_000))
    weights = list(itertools.accumulate(1 / rank for rank in range(1, len(words) + 1)))
    drawn = (chance.choices(words, cum_weights=weights, k=chance.randint(6, 24)) for _ in range(count))
    return [" ".join(one).capitalize() + "." for one in drawn]


def rows() -> Iterator[tuple[str, str, str]]:
    """Id, text and label without end: 300 to 3,000 characters, 1 text in 50 with only one sentence of its own."""
    chance = random.Random(11)
    pool = sentences(200_000)
    text = chance.choices(pool, k=10)
    for number in itertools.count():
        if chance.random() < 0.02:
            text = [*text[:-1], chance.choice(pool)]
        else:
            text = chance.choices(pool, k=chance.randint(4, 40))
        yield str(number), " ".join(text), chance.choice(LABELS)


def write(path: Path, size: int) -> int:
    """Write rows until the file has that many bytes; returns how many rows."""
    names = ("id", "text", "label")
    with path.open("w", encoding="utf-8", newline="", buffering=2**20) as file:
        table = csv.writer(file)
        if path.suffix == ".csv":
            table.writerow(names)
        for count, row in enumerate(rows()):
            if count % 1024 == 0 and file.tell() >= size:
                return count
            if path.suffix == ".csv":
                table.writerow(row)
            else:
                file.write(json.dumps(dict(zip(names, row, strict=True))) + "\n")
    raise AssertionError("rows() has no end")


def own_memory(process: int) -> int:
    """Bytes of memory that belong to a process alone, without mapped files; 0 if it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if "RssAnon" in line), 0)


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder, while some of them come and go."""
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue
    return total


def prepare(folder: Path, kind: str) -> dict:
    """Run `tunesmith prepare` on the folder's file, and say what it took."""
    experiment = folder / f"{kind}.yaml"
    experiment.write_text(EXPERIMENT.format(kind=kind, labels=", ".join(LABELS), output=folder / "runs"))
    command = [sys.executable, "-m", "tunesmith", "prepare", str(experiment), "--json"]
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    own = disk = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            own, disk = max(own, own_memory(process.pid)), max(disk, size_of(folder / "runs"))
            time.sleep(0.2)
        assert process.stdout is not None
        printed = process.stdout.read()
    if process.returncode:
        sys.exit(process.returncode)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "seconds": time.perf_counter() - start,
        "cpu": used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime,
        "own": own / 2**30,
        "mapped": used.ru_maxrss / 2**20,
        "disk": disk / 1e9,
        "counts": json.loads(printed)["counts"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gb", type=float, default=5.0, help="size of the file, in 10^9 bytes")
    parser.add_argument("--kind", nargs="*", default=["jsonl", "csv"], choices=["jsonl", "csv"])
    parser.add_argument("--folder", type=Path, help="where the files are made, and removed again")
    given = parser.parse_args()
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    for kind in given.kind:
        with tempfile.TemporaryDirectory(dir=given.folder) as name:
            folder = Path(name)
            count = write(folder / f"big.{kind}", round(given.gb * 1e9))
            got = prepare(folder, kind)
            sides = ", ".join(f"{side} {number:,}" for side, number in got["counts"].items())
            speed = given.gb * 1e3 / got["seconds"]
            print(
                f"| {kind} | {given.gb:g} | {count:,} | {got['seconds']:.0f} | {got['cpu']:.0f} | {speed:.1f}"
                f" | {got['own']:.2f} | {got['mapped']:.2f} | {got['disk']:.1f} | {sides} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
