"""Mutated data files of every kind, each prepared: it must end in data or in one clear DataError.

    python -m benchmarks.rows --number 3000 --seed 1

prints how many ended how, and every case that ended otherwise with its seed. `outcome` prepares any source, so that
other campaigns can call it.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import random
import tempfile
import traceback
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.config.experiment import Data
from tunesmith.config.registry import Registry
from tunesmith.errors import DataError
from tunesmith.split.prepare import prepare
from tunesmith.split.reading import Use

_VALUES: tuple[Any, ...] = (
    None, "", " ", 0, 1, -1, 2**70, 1e308, float("nan"), float("inf"), True, False, [], {}, [None], [[]], {"a": {}},
    "\ud83d", "\x00", "<image>", "<video>", "<|im_end|>", "a" * 5000, '"', '"a,b', "=1+1", "{x}", ["a", "b"],
    {"role": "user", "content": "x"}, [{"role": "user", "content": "x"}], [["q", "a"]], "data:image/png;base64,AA==",
)  # fmt: skip
_NAMES = (
    "text", "label", "messages", "role", "content", "weight", "train", "history", "system", "tools", "tool_calls",
    "rejected", "images", "videos", "objects", "conversations", "from", "value", "reasoning_content", "instruction",
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """How preparing ended: `data`, `error` (a DataError) or `crash` (anything else)."""

    kind: str
    told: str
    """Numbers of records, the message, or the traceback."""


def outcome(source: Mapping[str, Any], task: Mapping[str, Any], base: Path, skip: bool = False) -> Outcome:
    """How preparing a source for a task ends. Paths are relative to `base`, in which a folder `runs` is made."""
    settings = {"source": source, "on_bad_rows": "skip" if skip else "stop", "split": {"holdout": 1}}
    data = Data.model_validate(settings)
    asking = Registry("tunesmith.tasks").item(str(task["kind"])).model_validate(task)
    use = Use(lambda record: asking.check(record).notes, asking.laid_out)
    try:
        with tempfile.TemporaryDirectory(dir=base) as folder:
            fields, pictures = asking.fields_asked(), asking.picture_fields()
            made = prepare(data, fields, base, Path(folder) / "data", use, pictures=pictures)
            made.verify()
            return Outcome("data", str(made.counts))
    except DataError as error:
        return Outcome("error", str(error))
    except Exception:
        return Outcome("crash", traceback.format_exc())


@dataclass(frozen=True)
class Case:
    """A mutated file, and what is asked of it."""

    name: str
    content: bytes
    source: dict[str, Any]
    task: dict[str, Any]


def mutated(seed: int) -> Case:
    """The case of a seed: rows with values, names and bytes changed."""
    chance = random.Random(seed)
    task = chance.choice(
        [
            {"kind": "classify", "labels": ["fruit", "tool"], "prompt": "{text}"},
            {"kind": "answer", "prompt": "{text}", "field": "label"},
            {"kind": "chat"},
        ]
    )
    rows = [_changed(_row(str(task["kind"]), number), chance) for number in range(12)]
    kind = chance.choice(["jsonl", "json", "csv", "parquet"])
    content = bytearray(_written(kind, rows))
    for _ in range(chance.choice([0, 0, 1, 4])):
        place = chance.randrange(len(content))
        content[place : place + chance.choice([0, 1, 8])] = bytes([chance.randrange(256)])
    name = f"rows.{kind}"
    return Case(name, bytes(content), {"kind": kind, "path": name}, task)


def _row(kind: str, number: int) -> dict[str, Any]:
    if kind != "chat":
        return {"text": f"question {number} of many", "label": ("fruit", "tool")[number % 2]}
    turns = [("user", f"question {number}"), ("assistant", f"answer {number}")]
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


def _changed(value: Any, chance: random.Random) -> Any:
    """The value with some of its parts changed."""
    if chance.random() < 0.04:
        return _nested(chance) if chance.random() < 0.05 else chance.choice(_VALUES)
    if isinstance(value, list):
        return [_changed(one, chance) for one in value]
    if isinstance(value, dict):
        named = {
            chance.choice(_NAMES) if chance.random() < 0.03 else name: _changed(inner, chance)
            for name, inner in value.items()
        }
        return {**named, **({chance.choice(_NAMES): chance.choice(_VALUES)} if chance.random() < 0.1 else {})}
    return value


def _nested(chance: random.Random) -> Any:
    value: Any = "x"
    for _ in range(chance.choice([50, 500])):
        value = [value] if chance.random() < 0.5 else {"a": value}
    return value


def _written(kind: str, rows: list[Any]) -> bytes:
    """The rows as a file of that kind; what a kind cannot hold is written as text."""
    if kind == "jsonl":
        return "\n".join(map(json.dumps, rows)).encode()
    if kind == "json":
        return json.dumps(rows).encode()
    plain = [row if isinstance(row, dict) else {"text": row} for row in rows]
    names = list(dict.fromkeys(name for row in plain for name in row))
    cells = [[_cell(row.get(name)) for name in names] for row in plain]
    if kind == "csv":
        text = io.StringIO()
        csv.writer(text).writerows([names, *cells])
        return text.getvalue().encode("utf-8", "replace")
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: [row[index] for row in cells] for index, name in enumerate(names)}
    file = io.BytesIO()
    pq.write_table(pa.table(columns or {"text": ["x"]}), file)
    return file.getvalue()


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "replace").decode()


def tried(seed: int, base: Path) -> Outcome:
    """How the case of a seed ends; with every second seed, bad rows are skipped."""
    case = mutated(seed)
    (base / case.name).write_bytes(case.content)
    return outcome(case.source, case.task, base, skip=bool(seed % 2))


def main() -> int:
    """Try many, print the counts; 1 if one crashed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(asked.seed, asked.seed + asked.number):
            found = tried(seed, Path(folder))
            counts[found.kind] += 1
            if found.kind == "crash":
                print(f"seed {seed}:\n{found.told}")
    print(", ".join(f"{kind}: {count}" for kind, count in sorted(counts.items())))
    return int(bool(counts["crash"]))


if __name__ == "__main__":
    raise SystemExit(main())
