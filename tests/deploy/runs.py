"""Runs that were trained for a step, to predict with."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.images.made import put, scene
from tests.pipeline.small import lora_stage, small_experiment
from tests.tiny import tiny_seeing_model
from tunesmith.config.read import read_experiment
from tunesmith.pipeline.claim import write_down
from tunesmith.pipeline.context import RunContext
from tunesmith.pipeline.stage import train

STEP = lora_stage(epochs=None, steps=1)
SEES = {"path": "model", "weights": "fp32", "device": "cpu", "attention": "eager"}


def trained(folder: Path, **changes: Any) -> Path:
    """The run folder of a small experiment (see `small_experiment`), trained but not evaluated."""
    settings: dict[str, Any] = {"stages": [STEP], "evaluate": {}, **changes}
    return trained_by(small_experiment(folder, **settings))


def trained_by(path: Path) -> Path:
    """The run folder of an experiment file, trained but not evaluated."""
    steps = RunContext(read_experiment(path), path.parent, say=lambda _: None)
    write_down(steps)
    train(steps, Console(file=io.StringIO()))
    return steps.folder.path


def classifies(folder: Path, **changes: Any) -> Path:
    """A run that says whether a text is about a fruit or a tool."""
    return trained(folder, **changes)


def chats(folder: Path) -> Path:
    """A run on conversations."""
    folder.mkdir(parents=True)
    with (folder / "chats.jsonl").open("w") as file:
        for number in range(40):
            said = [("user", f"Say {number} and {number * 7}."), ("assistant", f"{number}, {number * 7}")]
            messages = [{"role": role, "content": text} for role, text in said]
            file.write(json.dumps({"messages": messages}) + "\n")
    data = {"source": {"kind": "jsonl", "path": "chats.jsonl"}, "leaks": {"near": None}}
    return trained(folder, data=data, task={"kind": "chat"})


def finds(folder: Path, label: str = "table", **changes: Any) -> Path:
    """A run that finds things in pictures: one box in each."""
    tiny_seeing_model(folder / "model", "qwen2_vl")
    with (folder / "boxes.jsonl").open("w") as file:
        for number in range(24):
            put(folder / "photos" / f"{number}.png", scene(number))
            row = {"image": f"photos/{number}.png", "box": [4 + number, 8, 60, 50], "brand": f"B{number}"}
            file.write(json.dumps(row) + "\n")
    asked = {
        "kind": "detect",
        "picture": "image",
        "boxes": "box",
        "format": "xyxy",
        "unit": "pixels",
        "label": label,
    }
    data = {"source": {"kind": "jsonl", "path": "boxes.jsonl"}, "leaks": {"near": None, "pictures": None}}
    return trained(folder, **{"model": SEES, "data": data, "task": asked, **changes})
