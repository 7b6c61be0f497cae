"""A small experiment on pictures: where is the light table in a picture of soft colours?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ImageDraw
from ruamel.yaml import YAML

from tests.images.made import put, scene
from tests.tiny import tiny_seeing_model
from tunesmith import load_experiment
from tunesmith.pipeline.context import RunContext

SIZES = ((160, 120), (300, 200), (90, 260), (640, 480))
"""Width and height of pictures, in turn."""


def pictured_experiment(folder: Path, rows: int = 16, model_type: str = "qwen2_5_vl", **changes: Any) -> Path:
    """Write model, pictures, data and experiment file; `changes` replaces whole top-level settings."""
    tiny_seeing_model(folder / "model", model_type)
    chance = np.random.default_rng(0)
    lines = []
    for number in range(rows):
        width, height = SIZES[number % len(SIZES)]
        image = scene(number, width, height)
        left, top = chance.uniform(0, 0.5, 2) * (width, height)
        right, bottom = (left, top) + chance.uniform(0.2, 0.5, 2) * (width, height)
        box = [round(float(side)) for side in (left, top, right, bottom)]
        ImageDraw.Draw(image).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill="white")
        put(folder / "photos" / f"{number}.png", image)
        lines.append(json.dumps({"image": f"photos/{number}.png", "box": box, "number": number}))
    (folder / "rows.jsonl").write_text("\n".join(lines))
    settings: dict[str, Any] = {
        "name": "pictured",
        "model": {"path": "model", "weights": "fp32", "device": "cpu"},
        "data": {
            "source": {"kind": "jsonl", "path": "rows.jsonl"},
            "split": {"holdout": 2, "validation": 0},
        },
        "task": {
            "kind": "detect", "picture": "image", "boxes": "box", "format": "xyxy", "unit": "pixels",
            "label": "table",
        },
        "stages": [{"name": "see", "parts": {"language": "full"}, "steps": 1, "batch": {"num_examples": 2}}],
        "output": str(folder / "runs"),
    }  # fmt: skip
    with (folder / "pictured.yaml").open("w") as file:
        YAML().dump(settings | changes, file)
    return folder / "pictured.yaml"


def steps_of(path: Path, *overrides: str) -> RunContext:
    """The experiment on its way, silently."""
    return RunContext(load_experiment(path, overrides), path.parent, say=lambda text: None)
