"""Killed at any instant and started again, a run ends with the weights it would have had."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipeline.small import lora_stage, small_experiment, small_picture_experiment

pytestmark = pytest.mark.slow


def start(path: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "tunesmith", "run", str(path)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def weights(folder: Path) -> str:
    adapter = (
        folder / "runs" / "small" / "main" / "stages" / "adapt" / "adapter" / "adapter_model.safetensors"
    )
    return hashlib.sha256(adapter.read_bytes()).hexdigest()


def experiment(folder: Path) -> Path:
    return small_experiment(
        folder,
        stages=[lora_stage()],
        evaluate={"every": "4 steps", "examples": 10, "resamples": 100, "test_examples": 10},
        checkpoints={"every": "3 steps", "keep": 2},
    )


def finish(path: Path) -> None:
    with start(path) as process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output.decode()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    finish(experiment(folder))
    return folder


def lines_in(log: Path, count: int) -> Callable[[Path], bool]:
    def reached(folder: Path) -> bool:
        path = folder / "runs" / "small" / "main" / "log.jsonl"
        return path.exists() and path.read_text().count('"update"') >= count

    return reached


def writing(pattern: str) -> Callable[[Path], bool]:
    return lambda folder: any((folder / "runs").rglob(pattern))


@pytest.mark.parametrize(
    "instant",
    [
        lines_in(Path(), 1),
        lines_in(Path(), 5),
        lines_in(Path(), 14),
        writing(".step-*.partial"),
        writing(".adapter.partial"),
    ],
    ids=["first-update", "after-a-checkpoint", "late", "writing-a-checkpoint", "writing-the-result"],
)
def test_killed_and_started_again_it_ends_with_the_same_weights(
    uninterrupted: Path, tmp_path: Path, instant: Callable[[Path], bool]
) -> None:
    path = experiment(tmp_path)
    # The same base model: its folder is part of what decides the weights.
    with start(path) as process:
        while process.poll() is None and not instant(tmp_path):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    finish(path)
    assert weights(tmp_path) == weights(uninterrupted)
    log = (tmp_path / "runs" / "small" / "main" / "log.jsonl").read_text()
    steps = [line for line in log.splitlines() if '"update"' in line]
    assert len(steps) == len(set(steps)) == 26


def test_so_it_does_on_weights_in_8_bits(tmp_path: Path) -> None:
    model = {"path": "model", "weights": "fp8", "device": "cpu"}
    settings = {"model": model, "stages": [lora_stage()], "checkpoints": {"every": "3 steps"}}
    at_once, killed = tmp_path / "at-once", tmp_path / "killed"
    finish(small_experiment(at_once, **settings))
    path = small_experiment(killed, **settings)
    reached = lines_in(Path(), 5)
    with start(path) as process:
        while process.poll() is None and not reached(killed):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    finish(path)
    assert weights(killed) == weights(at_once)


def test_so_it_does_with_pictures(tmp_path: Path) -> None:
    adapter = {"kind": "lora", "rank": 4, "dropout": 0.1}
    stage = lora_stage(parts={"vision": adapter, "language": adapter}, epochs=None, steps=12)
    settings = {"pictures": 96, "stages": [stage], "checkpoints": {"every": "3 steps"}}
    at_once, killed = tmp_path / "at-once", tmp_path / "killed"
    finish(small_picture_experiment(at_once, **settings))
    path = small_picture_experiment(killed, **settings)
    reached = lines_in(Path(), 5)
    with start(path) as process:
        while process.poll() is None and not reached(killed):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (killed / "runs" / "small" / "main" / "stages" / "adapt" / "done.json").exists()
    finish(path)
    assert weights(killed) == weights(at_once)
