"""The campaign of kills finds nothing, and would find what is wrong."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.kills.fuzz import mutate_bytes, mutate_value
from benchmarks.kills.left import differences, left_in
from benchmarks.kills.parts import Part
from benchmarks.kills.tally import Outcome, tallied, write_log

ROOT = Path(__file__).parents[2]


def run_folder(
    folder: Path, accuracy: float = 0.5, weights: bytes = b"weights", seconds: float = 1.0
) -> Path:
    (folder / "stages").mkdir(parents=True)
    (folder / "stages" / "adapter_model.safetensors").write_bytes(weights)
    (folder / "scores.json").write_text(json.dumps({"metrics": {"accuracy": accuracy}, "seconds": seconds}))
    event = {"event": "update", "stage": "one", "step": 1, "loss": accuracy, "time": f"{seconds}"}
    (folder / "log.jsonl").write_text(json.dumps(event) + "\n")
    return folder


def test_runs_that_differ_in_times_alone_are_equal_and_in_anything_else_are_not(tmp_path: Path) -> None:
    known = left_in(run_folder(tmp_path / "known"))
    assert differences(known, left_in(run_folder(tmp_path / "later", seconds=9))) == []
    other = left_in(run_folder(tmp_path / "weights", weights=b"weightS"))
    assert differences(known, other) == ["stages/adapter_model.safetensors"]
    other = left_in(run_folder(tmp_path / "scores", accuracy=0.6))
    assert differences(known, other) == ["log.jsonl", "scores.json"]
    (tmp_path / "known" / ".x.partial").touch()
    assert differences(known, left_in(tmp_path / "known")) == [".x.partial"]


def test_a_table_counts_what_came_of_what_was_tried_and_keeps_what_is_wrong(tmp_path: Path) -> None:
    outcomes = [
        Outcome("rows", "right"),
        Outcome("rows", "clear error"),
        Outcome("rows", "wrong", "because"),
        Outcome("killed", "right", kills=3),
    ]
    write_log(outcomes[:2], tmp_path / "0.jsonl", 60)
    write_log(outcomes[2:], tmp_path / "1.jsonl", 60)
    tally = tallied([tmp_path / "0.jsonl", tmp_path / "1.jsonl"])
    assert tally.table().splitlines()[2:] == ["| rows | 3 | 1 | 1 | 1 |", "| killed | 1 | 1 | 0 | 0 |"]
    assert (tally.kills, [outcome.why for outcome in tally.wrong]) == (3, ["because"])


def test_the_same_seed_mutates_alike_and_mostly_changes_something() -> None:
    content, value = b'{"a": [1, 2, {"b": "text"}]}', {"a": [1, 2, {"b": "text"}]}
    for mutate, of in ((mutate_bytes, content), (mutate_value, value)):
        made = [mutate(of, random.Random(seed)) for seed in range(50)]  # type: ignore[operator]
        assert made == [mutate(of, random.Random(seed)) for seed in range(50)]  # type: ignore[operator]
        assert sum(one != of for one in made) > 40
    assert value == {"a": [1, 2, {"b": "text"}]}


def test_the_parts_of_a_campaign_are_all_of_it() -> None:
    parts = [Part(index, 3) for index in range(3)]
    assert [part.size(10) for part in parts] == [4, 3, 3]
    assert sorted(one for part in parts for one in range(part.index, 10, part.count)) == list(range(10))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("campaign", "number"), [("kills", 60), ("damage", 30), ("fuzz", 200)])
def test_nothing_is_wrong_in_silence(tmp_path: Path, campaign: str, number: int) -> None:
    command = [sys.executable, "-m", "benchmarks.kills", campaign, "--number", str(number), "--seed", "60"]
    places = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    done = subprocess.run(
        [*command, "--folder", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": places},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    header, *lines = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert header.split("|")[-2].strip() == "wrong"
    assert {line.split("|")[-2].strip() for line in lines} == {"0"}
