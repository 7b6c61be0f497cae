"""Texts and pictures in classes of unlike size, with a held-out set in which all classes are alike.

    python benchmarks/heads/make_data.py FOLDER

Texts: docstrings of eight libraries (which one is it from?), as `texts/even.jsonl`, `uneven.jsonl` and `test.jsonl`.
Pictures: handwritten digits in folders, as `digits/even`, `uneven` and `test`. Of the even ones each class has 180
examples, of the uneven ones from 20 to 180, the classes that come first having the fewest. Nothing in the test is in
either.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from tunesmith.records.demo_sources.digits import Digits
from tunesmith.records.demo_sources.docstrings import Docstrings
from tunesmith.records.record import Record

LIBRARIES = ["networkx", "numpy", "pandas", "scikit-learn", "scipy", "sympy", "torch", "transformers"]
FEWEST, MOST, TEST = 20, 180, 80


def sizes(num_classes: int) -> list[int]:
    """From the fewest to the most examples, in equal steps."""
    return [round(size) for size in np.linspace(FEWEST, MOST, num_classes)]


def texts(folder: Path) -> None:
    """Three files of JSON lines."""
    source = Docstrings(packages=LIBRARIES, per_package=MOST + TEST, per_file=16)
    members: dict[str, list[dict[str, str]]] = {library: [] for library in LIBRARIES}
    for record in source.rows(Path()):
        if isinstance(record, Record):
            members[record.fields["library"]].append(dict(record.fields))
    chance = np.random.default_rng(17)
    rows: dict[str, list[dict[str, str]]] = {"even": [], "uneven": [], "test": []}
    for few, (library, found) in zip(sizes(len(members)), members.items(), strict=True):
        if len(found) < MOST + TEST:
            sys.exit(f"{library} has only {len(found)} texts")
        order = [found[index] for index in chance.permutation(len(found))]
        rows["test"] += order[:TEST]
        rows["even"] += order[TEST : TEST + MOST]
        rows["uneven"] += order[TEST : TEST + few]
    folder.mkdir(parents=True)
    for name, some in rows.items():
        lines = "".join(json.dumps(row) + "\n" for row in some)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")


def digits(folder: Path) -> None:
    """Three folders of folders; the test's handwriting is in no other."""
    for name, samples, seed in (("train", (0.0, 0.8), 1), ("test", (0.8, 1.0), 2)):
        most = MOST if name == "train" else TEST
        source = Digits(pictures=15 * most, questions="classify", samples=samples, seed=seed, canvas=(84, 84),
                        size=(40, 72), paper="plain")  # fmt: skip
        seen: dict[str, int] = {}
        for number, record in enumerate(source.rows(Path())):
            assert isinstance(record, Record)
            label = str(record.fields["label"])
            seen[label] = seen.get(label, 0) + 1
            if seen[label] > most:
                continue
            places = ["test"] if name == "test" else ["even"]
            if name == "train" and seen[label] <= sizes(10)[int(label)]:
                places.append("uneven")
            for place in places:
                file = folder / place / label / f"{number}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(record.fields["image"]["bytes"])


if __name__ == "__main__":
    texts(Path(sys.argv[1]) / "texts")
    digits(Path(sys.argv[1]) / "digits")
