"""Killed at any instant and started again, a run ends with the weights it would have had."""

import hashlib
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.once import once
from tests.pipeline.processes import finish, kill_when, stop_when
from tests.pipeline.small import lora_stage, small_experiment, small_picture_experiment

pytestmark = pytest.mark.slow


def weights(folder: Path) -> str:
    adapter = (
        folder / "runs" / "small" / "main" / "stages" / "adapt" / "adapter" / "adapter_model.safetensors"
    )
    return hashlib.sha256(adapter.read_bytes()).hexdigest()


def experiment(folder: Path, **changes: Any) -> Path:
    return small_experiment(
        folder,
        **changes,
        stages=[lora_stage()],
        evaluate={
            "every": "4 steps",
            "max_validation_records": 10,
            "num_resamples": 100,
            "max_test_records": 10,
        },
        checkpoints={"every": "3 steps", "num_to_keep": 2},
    )


def kill_after(path: Path, updates: int) -> None:
    """Start a run and kill it once it has done so many updates."""
    kill_when(updates_done(updates), path)
    assert not (path.parent / "runs" / "small" / "main" / "stages" / "adapt" / "done.json").exists()


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In a new interpreter, so that the seed of hashes, and with it the order of sets, differs from the others'."""

    def run_at_once(folder: Path) -> None:
        command = [sys.executable, "-m", "tunesmith", "run", str(experiment(folder))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return once(tmp_path_factory, "uninterrupted", run_at_once)


def updates_done(count: int) -> Callable[[Path], bool]:
    def reached(folder: Path) -> bool:
        path = folder / "runs" / "small" / "main" / "log.jsonl"
        return path.exists() and path.read_text().count('"update"') >= count

    return reached


def writing(pattern: str) -> Callable[[Path], bool]:
    def is_there(folder: Path) -> bool:
        try:
            return any((folder / "runs").rglob(pattern))
        except FileNotFoundError:  # An older checkpoint went while it was looked into.
            return False

    return is_there


def test_killed_again_and_again_it_ends_with_the_same_weights(uninterrupted: Path, tmp_path: Path) -> None:
    path = experiment(tmp_path)
    for instant in (
        updates_done(1),
        updates_done(5),  # after a checkpoint
        writing(".step-*.partial"),
        updates_done(14),
        writing(".adapter.partial"),
    ):
        kill_when(instant, path)
    finish(path)
    assert weights(tmp_path) == weights(uninterrupted)
    log = (tmp_path / "runs" / "small" / "main" / "log.jsonl").read_text()
    steps = [line for line in log.splitlines() if '"update"' in line]
    assert len(steps) == len(set(steps)) == 26


def test_so_it_does_after_signals_which_are_answered_by_what_is_kept(
    uninterrupted: Path, tmp_path: Path
) -> None:
    path = experiment(tmp_path)
    for number, code, updates in ((signal.SIGINT, 130, 5), (signal.SIGTERM, 143, 10)):
        ended, said = stop_when(updates_done(updates), path, number)
        assert ended == code
        last = said.splitlines()[-1]
        assert re.match(
            r"interrupted: stage 'adapt': the checkpoint of update \d+ is kept; .*small/main is kept", last
        )
        assert last.endswith("Call the same command again to go on from there")
    finish(path)
    assert weights(tmp_path) == weights(uninterrupted)
    assert not list((tmp_path / "runs").rglob("*.partial"))


def test_so_it_does_on_weights_in_8_bits(tmp_path: Path) -> None:
    model = {"path": "model", "weights": "fp8", "device": "cpu"}
    at_once, killed = tmp_path / "at-once", tmp_path / "killed"
    finish(experiment(at_once, model=model))
    path = experiment(killed, model=model)
    kill_after(path, updates=5)
    finish(path)
    assert weights(killed) == weights(at_once)


def test_so_it_does_where_beginnings_are_shared_and_records_stay_together(tmp_path: Path) -> None:
    batch = {"num_examples": 12, "max_tokens_per_microbatch": 192, "share_prefixes": True}
    stage = lora_stage(batch=batch, group_by="stage", epochs=None, steps=12)
    asking = {"kind": "answer", "prompt": "Is it a fruit or a tool that this text names? {text}"}
    settings = {
        "task": asking | {"field": "label"},
        "stages": [stage],
        "evaluate": {"num_resamples": 100, "max_test_records": 4},
        "checkpoints": {"every": "3 steps"},
    }
    at_once, killed = tmp_path / "at-once", tmp_path / "killed"
    finish(small_experiment(at_once, **settings))
    kill_after(small_experiment(killed, **settings), updates=5)
    finish(killed / "small.yaml")
    assert weights(killed) == weights(at_once)
    apart = tmp_path / "apart"
    finish(small_experiment(apart, **settings | {"stages": [stage | {"group_by": None}]}))
    assert weights(killed) != weights(apart)


def test_so_it_does_with_selective_checkpointing(uninterrupted: Path, tmp_path: Path) -> None:
    model = {"path": "model", "weights": "fp32", "device": "cpu", "checkpointing": "selective"}
    path = experiment(tmp_path, model=model)
    kill_after(path, updates=5)
    finish(path)
    assert weights(tmp_path) == weights(uninterrupted)


def test_so_it_does_with_pictures(tmp_path: Path) -> None:
    adapter = {"kind": "lora", "rank": 4, "dropout": 0.1}
    stage = lora_stage(parts={"vision": adapter, "language": adapter}, epochs=None, steps=12)
    settings = {"pictures": 96, "stages": [stage], "checkpoints": {"every": "3 steps"}}
    at_once, killed = tmp_path / "at-once", tmp_path / "killed"
    finish(small_picture_experiment(at_once, **settings))
    path = small_picture_experiment(killed, **settings)
    kill_after(path, updates=5)
    finish(path)
    assert weights(killed) == weights(at_once)


HEADED = {
    "kind": "classify",
    "labels": ["fruit", "tool"],
    "prompt": "Which? {text}",
    "answer": {"kind": "head", "hidden": 16, "pooling": "attention", "dropout": 0.3},
}


def headed_experiment(folder: Path) -> Path:
    """Two stages that train a head: with an adapter, and then, from that head, alone. Dropout is in both."""
    adapter = lora_stage()["parts"]["language"]
    both = lora_stage(name="both", parts={"language": adapter, "head": "full"}, epochs=None, steps=10)
    alone = lora_stage(name="alone", parts={"head": "full"}, epochs=None, steps=10)
    evaluate = {
        "every": "4 steps",
        "max_validation_records": 10,
        "num_resamples": 100,
        "max_test_records": 10,
    }
    every = {"every": "3 steps", "num_to_keep": 2}
    return small_experiment(folder, task=HEADED, stages=[both, alone], evaluate=evaluate, checkpoints=every)


def left_by(folder: Path) -> dict[str, str]:
    """Checksums of all weights that stages left."""
    stages = folder / "runs" / "small" / "main" / "stages"
    files = sorted([*stages.glob("*/head.safetensors"), *stages.glob("*/adapter/*.safetensors")])
    return {str(file.relative_to(stages)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="session")
def headed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return once(tmp_path_factory, "headed", lambda folder: finish(headed_experiment(folder)))


def test_a_stage_goes_on_from_the_head_that_the_one_before_left(headed: Path) -> None:
    stages = headed / "runs" / "small" / "main" / "stages"
    first, second = (load_file(stages / name / "head.safetensors") for name in ("both", "alone"))
    moved = max(float((first[name] - second[name]).abs().max()) for name in first)
    size = max(float(weight.abs().max()) for weight in first.values())
    assert 0 < moved < 0.5 * size


def test_so_it_does_with_a_head_in_either_of_two_stages(headed: Path, tmp_path: Path) -> None:
    path = headed_experiment(tmp_path)
    stages = tmp_path / "runs" / "small" / "main" / "stages"
    for updates in (1, 5, 15):
        kill_when(updates_done(updates), path)
        assert (stages / "both" / "done.json").exists() == (updates > 10)
        assert not (stages / "alone" / "done.json").exists()
    finish(path)
    assert left_by(tmp_path) == left_by(headed)
    assert {"both/head.safetensors", "alone/head.safetensors"} < set(left_by(headed))
