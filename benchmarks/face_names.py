"""The recipe face-names on random weights of Qwen2.5-VL-7B's shape: samples a second, memory, and the whole run's time.

    python -m benchmarks.face_names [--tokens 800 4096 8192] [--small]

Weights are drawn on the device and put into NF4 as the recipe says; adapters, head, loss, optimizer and the reading of
512x512 pictures are the recipe's own. `--tokens` are tokens a micro-batch: 800 is 2 pictures at
once. Needs a GPU with 24 GB for 800; `--small` runs a toy on anything.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from benchmarks.speed import shapes, workloads
from benchmarks.speed.weights import drawn

from tunesmith import load_experiment
from tunesmith.images.picture import Picture
from tunesmith.model.heads import hidden_width, new_head
from tunesmith.model.load import load
from tunesmith.model.trainable import make_trainable
from tunesmith.records.record import Record
from tunesmith.train.batch_plan import Updates
from tunesmith.train.examples import Examples, renderer
from tunesmith.train.fit import fit
from tunesmith.train.loss import ClassLoss
from tunesmith.train.optimizer import build_optimizer

RECIPE = Path(__file__).parents[1] / "recipes" / "face-names.yaml"
STEPS, WARMUP, PICTURES, ALL = 10, 3, 64, 54_000 * 5


def make_model(folder: Path, small: bool) -> None:
    """A folder with a model's config, a vocabulary, the picture settings of Qwen2.5-VL, and pictures."""
    shapes.write_folder(folder, shapes.SEEING, small)
    workloads.write_pictures(folder, replace(shown(small), different=PICTURES // shown(small).samples))


def shown(small: bool) -> workloads.Workload:
    """What the pictures are like."""
    return workloads.of("one-picture", small)


def measure(folder: Path, tokens: int, small: bool) -> dict[str, float]:
    """Median samples a second of an update of 32, and peak memory."""
    overrides = [f"model.path={folder}", f"stages.0.batch.max_tokens_per_microbatch={tokens}"]
    overrides += ["model.weights=fp32", "model.pixels.size=[84, 84]"] if small else []
    experiment = load_experiment(RECIPE, overrides, "balanced")
    stage, task = experiment.stages[0], experiment.task
    assert task.head is not None
    with drawn():
        loaded = load(experiment.model)
    width = hidden_width(loaded.family.config)
    loaded.head = new_head(task.head, task.labels_in_order or (), width, 1, loaded.device)
    trainable = make_trainable(loaded, stage.parts, seed=1)
    render = renderer(loaded.family, task, stage.trained)
    labels = task.labels_in_order or ()
    asked = []
    side = shown(small).side
    for index in range(PICTURES):
        path = workloads.picture_file(folder, index)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        picture = Picture(path.name, sha256, side, side, "0" * 16, root=folder)
        fields = {"image": picture, "label": labels[index % len(labels)]}
        asked.append(task.conversation(Record(f"p:{index}", fields)))
    size = stage.batch.num_examples
    updates = Updates(stage.name, Examples(render(asked)), size, tokens, STEPS, 0, workers=8)
    optimizer = build_optimizer(trainable.groups, stage.optimizer)
    times, before = [], time.perf_counter()
    started = fit(trainable, updates, optimizer, stage.optimizer, ClassLoss(stage.loss))
    for step, underway in enumerate(started):
        underway.result()
        now = time.perf_counter()
        if step >= WARMUP:
            times.append(now - before)
        before = now
    peak = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
    trained = sum(row["trained"] for row in trainable.summary)
    return {"samples": size / float(np.median(times)), "peak": peak, "trained": trained}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", nargs="*", type=int, default=[800, 4096, 8192])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if not asked.small and not torch.cuda.is_available():
        parser.error("a model of 7B needs a GPU, and PyTorch finds none; --small runs a toy on anything")
    if asked.folder:
        print(json.dumps(measure(asked.folder, asked.tokens[0], asked.small)))
        return
    print(torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU", torch.__version__)
    print(f"{'tokens':>7}{'samples/s':>11}{'peak GiB':>10}{'trained':>13}{'5 epochs of 54,000, h':>23}")
    with tempfile.TemporaryDirectory() as folder:
        make_model(Path(folder), asked.small)
        for tokens in asked.tokens:
            command = [
                sys.executable,
                "-m",
                "benchmarks.face_names",
                "--folder",
                folder,
                "--tokens",
                str(tokens),
            ]
            ran = subprocess.run(
                [*command, *(["--small"] if asked.small else [])], capture_output=True, text=True, check=False
            )
            if ran.returncode:
                print(f"{tokens:>7} failed: {ran.stderr.strip().splitlines()[-1][:200]}")
                continue
            got = json.loads(ran.stdout.strip().splitlines()[-1])
            hours = ALL / got["samples"] / 3600
            print(
                f"{tokens:>7}{got['samples']:>11.2f}{got['peak']:>10.1f}{got['trained']:>13,}{hours:>23.1f}"
            )


if __name__ == "__main__":
    main()
