"""Times `prepare` (read, find near-duplicates, split, certify) and `verify`, and how they grow with the rows.

    python benchmarks/split.py                          # 30k and 120k news rows, 250k and 1m short ones
    python benchmarks/split.py --news 120000 --short    # one size of one kind
    python benchmarks/split.py --reference              # datasets, datasketch and scikit-learn beside it

Every run is a process of its own, so its peak memory is its own.
"""

from __future__ import annotations

import argparse
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

WORDS = {"news": (28, 52), "short": (7, 14)}
LABELS = ("World", "Sports", "Business", "Sci/Tech")
NEAR = 0.9


def vocabulary(size: int) -> list[str]:
    """Pronounceable words, short ones first."""
    syllables = ["".join(pair) for pair in itertools.product("bdfgklmnprstvz", "aeiou")]
    words = (map("".join, itertools.product(syllables, repeat=number)) for number in (1, 2, 3))
    return list(itertools.islice(itertools.chain.from_iterable(words), size))


def rows(kind: str, count: int) -> Iterator[dict[str, str]]:
    """Rows of Zipf-distributed words; 1 in 50 repeats a recent one, or has one word of it changed."""
    chance = random.Random(7)
    words = vocabulary(40_000)
    weights = list(itertools.accumulate(1 / rank for rank in range(1, len(words) + 1)))
    recent: list[list[str]] = [["first"]]
    for _ in range(count):
        if chance.random() < 0.02:
            text = list(chance.choice(recent))
            if chance.random() < 0.5:
                text[chance.randrange(len(text))] = chance.choice(words)
        else:
            text = chance.choices(words, cum_weights=weights, k=chance.randint(*WORDS[kind]))
        recent = [*recent[-99:], text]
        yield {"text": " ".join(text).capitalize() + ".", "label": chance.choice(LABELS)}


def ours(path: Path, folder: Path) -> dict[str, int]:
    from tunesmith.config.experiment import Data
    from tunesmith.data.prepare import prepare

    settings = {
        "source": {"kind": "jsonl", "path": path.name},
        "split": {"stratify": "label"},
    }
    prepared = prepare(Data.model_validate(settings), ("text",), path.parent, folder / "ours")
    prepared.verify()
    return {**prepared.counts, **prepared.certificate["duplicates"]}


def reference(path: Path, folder: Path) -> dict[str, int]:
    """Read by datasets, near-duplicates by datasketch, split by cluster by scikit-learn."""
    import datasets
    from datasketch import MinHash, MinHashLSH
    from sklearn.model_selection import StratifiedGroupKFold

    table = datasets.load_dataset("json", data_files=str(path), cache_dir=str(folder), split="train")
    lsh = MinHashLSH(threshold=NEAR, num_perm=128)
    groups = []
    for start in range(0, len(table), 4096):
        texts = [text.lower().rstrip(".").split() for text in table[start : start + 4096]["text"]]
        pairs = [[f"{one} {other}".encode() for one, other in itertools.pairwise(words)] for words in texts]
        for index, signature in enumerate(MinHash.bulk(pairs, num_perm=128), start):
            near = lsh.query(signature)
            groups.append(groups[near[0]] if near else index)
            lsh.insert(index, signature)
    held = next(StratifiedGroupKFold(10).split(groups, table["label"], groups))[1]
    return {"train": len(groups) - len(held), "test": len(held), "near": len(groups) - len(set(groups))}


def child(what: str, path: Path, folder: Path) -> None:
    start = time.perf_counter()
    found = {"ours": ours, "reference": reference}[what](path, folder)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": seconds, "cpu": time.process_time(), "gib": peak, "found": found}))


def measure(what: str, kind: str, count: int, folder: Path) -> dict:
    path = folder / f"{kind}-{count}.jsonl"
    if not path.exists():
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows(kind, count))
    with tempfile.TemporaryDirectory(dir=folder) as work:
        command = [sys.executable, __file__, "--child", what, str(path), work]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def report(kind: str, count: int, folder: Path, reference: bool) -> None:
    seconds = []
    for what in ("ours", "reference") if reference else ("ours",):
        got = measure(what, kind, count, folder)
        seconds.append(got["seconds"])
        found = ", ".join(f"{name} {number}" for name, number in got["found"].items())
        cost = f"{seconds[-1]:.1f} | {got['cpu']:.1f} | {got['cpu'] / count * 1e6:.0f} | {got['gib']:.2f}"
        print(f"| {count:,} | {kind} | {what} | {cost} | {found} |", flush=True)
    if reference:
        print(
            f"| {count:,} | {kind} | reference / ours | {seconds[1] / seconds[0]:.1f} | | | | |", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--news", type=int, nargs="*", default=[30_000, 120_000], help="rows of ~40 words")
    parser.add_argument(
        "--short", type=int, nargs="*", default=[250_000, 1_000_000], help="rows of ~10 words"
    )
    parser.add_argument("--reference", action="store_true", help="also run the reference on the same files")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child[0], Path(given.child[1]), Path(given.child[2]))
        return
    columns = ("rows", "kind", "by", "seconds", "CPU seconds", "CPU us a row", "peak GiB", "found")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    with tempfile.TemporaryDirectory() as folder:
        for kind, counts in (("news", given.news), ("short", given.short)):
            for count in counts:
                report(kind, count, Path(folder), given.reference)


if __name__ == "__main__":
    main()
